// Classes shown by examples: what a spec may say of them, and what the builder
// makes of it.
#include "zeroshot/class_examples.h"

#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/error_info.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stores/memory_store.h"
#include "tests/testing/encode_text.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/make_png.h"
#include "zeroshot/admission.h"
#include "zeroshot/embedder.h"
#include "zeroshot/weight_set_builder.h"
#include "zeroshot/weight_set_check.h"

namespace zeroshot {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Field;
using ::testing::HasSubstr;
using testing_images::MakePng;

std::string FieldOf(const absl::Status& status) {
  const auto info = base::ErrorInfoOf(status);
  if (!info.has_value() || info->metadata.count("field") == 0) return "";
  return info->metadata.at("field");
}

// --- what a spec may say ---

constexpr int kDim = 2;

absl::StatusOr<ResolvedSpec> Resolve(const Examples& examples,
                                     const BuildLimits& limits = {}) {
  ClassifierSpec spec;
  spec.classes = {{"cat"}, {"dog"}};
  spec.classes[1].examples = examples;
  return ResolvedSpec::Resolve(spec, limits, kDim);
}

TEST(ExamplesTest, AWeightIsOverZeroToOneAndNeedsExamples) {
  const std::vector<float> row = {1, 0};
  for (const float wrong : {0.0f, -0.5f, 1.5f, std::nanf(""),
                            std::numeric_limits<float>::infinity()}) {
    const absl::Status status = Resolve({{}, row, wrong}).status();
    EXPECT_EQ(FieldOf(status), "classes[1].example_weight") << wrong;
  }
  const absl::Status alone = Resolve({{}, {}, 0.5f}).status();
  EXPECT_EQ(FieldOf(alone), "classes[1].example_weight");
  EXPECT_THAT(alone.message(), HasSubstr("no examples are"));
  EXPECT_TRUE(Resolve({{}, row, 1.0f}).ok());
  EXPECT_EQ(Resolve({{}, row})->shown(1)->weight, 0.5f);
}

TEST(ExamplesTest, EmbeddingsAreWholeFiniteAndNotZero) {
  const float nan = std::nanf("");
  for (const std::vector<float>& wrong :
       {std::vector<float>{1},
        {1, 0, 1},
        {nan, 0},
        {1, 0, 0, 0},
        {std::numeric_limits<float>::infinity(), 1}}) {
    const absl::Status status = Resolve({{}, wrong}).status();
    EXPECT_EQ(FieldOf(status), "classes[1].example_embeddings") << status;
  }
  const std::vector<float> two = {0, 3e-20f, 1e30f, 1};
  EXPECT_EQ(Resolve({{"image"}, two})->shown(1)->count, 3);
}

TEST(ExamplesTest, ThereAreNoMoreThanTheLimit) {
  BuildLimits limits;
  limits.max_examples = 3;
  const std::vector<float> two = {1, 0, 0, 1};
  EXPECT_TRUE(Resolve({{"a"}, two}, limits).ok());
  EXPECT_THAT(
      Resolve({{"a", "b"}, two}, limits).status().message(),
      HasSubstr("too many examples: 4 are given; at most 3 are allowed"));
}

std::string IdOf(const ClassifierSpec& spec) {
  return ResolvedSpec::Resolve(spec, {}, kDim)->Id("model", "fp32");
}

TEST(ExamplesTest, TheIdIsOfTheirContentAndWeight) {
  const std::vector<float> row = {1, 0}, other = {1, 0.5f};
  std::vector<std::string> ids;
  const auto add = [&](const Examples& examples) {
    ClassifierSpec spec;
    spec.classes = {{"cat"}, {"dog"}};
    spec.classes[1].examples = examples;
    ids.push_back(IdOf(spec));
    const std::string again(examples.images.empty() ? "" : examples.images[0]);
    if (!again.empty()) spec.classes[1].examples.images[0] = again;
    EXPECT_EQ(IdOf(spec), ids.back());  // the bytes, not where they are
    std::swap(spec.classes[0].examples, spec.classes[1].examples);
    if (examples.given()) {
      EXPECT_NE(IdOf(spec), ids.back());
    }
  };
  add({});
  add({{"image"}});
  add({{"imagf"}});
  add({{"image", ""}});
  add({{"ima", "ge"}});
  add({{"image"}, {}, 0.25f});
  add({{"image"}, {}, 1.0f});
  add({{}, row});
  add({{}, other});
  add({{"image"}, row});
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::unique(ids.begin(), ids.end()), ids.end());
}

TEST(ExamplesTest, SetsWithoutExamplesKeepTheirIds) {
  ClassifierSpec spec;
  spec.classes = {{"cat"}, {"dog"}};
  EXPECT_EQ(IdOf(spec),
            "5f55592221a81938ed8e496528917f044489b2fdee00bfcade7ff7c3c1c97a78");
  spec.temperature = 2;
  EXPECT_EQ(IdOf(spec),
            "f4e5929fbc6b225b8a4db088ca5aefe9d80db42302a3c2e97b19e730eadab729");
}

TEST(ExamplesTest, AClassOfExamplesAloneHasNoPrompts) {
  const std::vector<float> row = {1, 0};
  const auto spec = Resolve({{"image"}, row, 1.0f});
  EXPECT_EQ(spec->num_prompts(0), 1);
  EXPECT_EQ(spec->num_prompts(1), 0);
  EXPECT_EQ(spec->total_prompts(), 1);
  EXPECT_EQ(spec->total_to_encode(), 2);
}

// --- what becomes of them ---

class ClassExamplesTest : public ::testing::Test {
 protected:
  ClassExamplesTest() {
    spec_.classes = {{"cat"}, {"dog"}};
    spec_.templates = {"a {}", "the {}"};
  }

  absl::StatusOr<BuildResult> Build(const base::Caller& caller = {}) {
    return builder_.Build(spec_, caller, on_progress_, embed_);
  }

  using Row = std::vector<double>;
  static Row Unit(Row row) {
    double square = 0;
    for (const double x : row) square += x * x;
    for (double& x : row) x /= std::sqrt(square);
    return row;
  }
  Row Text(const std::string& prompt) {
    const auto row = *clip::testing::EncodeText(
        model_, {*model_.tokenizer().Encode(prompt)});
    return {row.begin(), row.end()};
  }
  Row Image(const std::string& image) {
    const auto embedded = embedder_.EmbedImages({image}, base::Caller());
    return {embedded->rows.begin(), embedded->rows.end()};
  }
  static Row Mixed(double a, const Row& x, double b, const Row& y) {
    Row sum(x.size());
    for (size_t d = 0; d < sum.size(); ++d) sum[d] = a * x[d] + b * y[d];
    return sum;
  }
  void ExpectRow(const BuildResult& built, int c, const Row& expected) {
    for (size_t d = 0; d < expected.size(); ++d) {
      EXPECT_NEAR(built.set->weights[c * expected.size() + d], expected[d],
                  1e-6);
    }
  }

  clip::FakeModel model_;
  stores::MemoryStore store_{1 << 20};
  Embedder embedder_{&model_, {.max_batch = 4, .decode = {}}};
  WeightSetBuilder builder_{&model_, &store_, BuildLimits(), 2};
  WeightSetBuilder::OnProgress on_progress_;
  WeightSetBuilder::EmbedImages embed_ =
      [this](absl::Span<const absl::string_view> images,
             const base::Caller& all) {
        return embedder_.EmbedImages(images, all);
      };
  ClassifierSpec spec_;
  const std::string a_ = MakePng(1), b_ = MakePng(2);
};

TEST_F(ClassExamplesTest, AClassIsTheUnitMixOfItsPromptsAndItsExamples) {
  const Row text = Unit(Mixed(1, Text("a dog"), 1, Text("the dog")));
  const Row third = Unit(Text("something else"));
  std::vector<float> given(third.begin(), third.end());
  for (float& x : given) x *= 7;  // brought to length 1
  const Row shown = Unit(Mixed(1, Mixed(1, Image(a_), 1, Image(b_)), 1, third));
  for (const double weight : {0.5, 0.125, 1.0}) {
    spec_.classes[1].examples = {{a_, b_}, given};
    if (weight != 0.5) {
      spec_.classes[1].examples.weight = static_cast<float>(weight);
    }
    const auto built = Build();
    ASSERT_TRUE(built.ok()) << built.status();
    ExpectRow(*built, 1, Unit(Mixed(1 - weight, text, weight, shown)));
    ExpectRow(*built, 0, Unit(Mixed(1, Text("a cat"), 1, Text("the cat"))));
    EXPECT_EQ(built->set->num_examples(), 3);
    EXPECT_TRUE(CheckStored(*built->set, model_.info()).ok());
    EXPECT_EQ(CheckUnitRows(*built->set), absl::OkStatus());
  }
}

TEST_F(ClassExamplesTest, ClassesOfExamplesAloneEncodeNoText) {
  spec_.classes[0].examples = {{a_}, {}, 1.0f};
  spec_.classes[1].examples = {{b_}, {}, 1.0f};
  const auto built = Build();
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_EQ(model_.text_calls(), 0);
  EXPECT_EQ(built->set->num_prompts, 0);
  EXPECT_EQ(built->set->num_tokens, 0);
  ExpectRow(*built, 1, Image(b_));
  const int batches = model_.image_batches();
  EXPECT_TRUE(Build()->cached);
  EXPECT_EQ(model_.image_batches(), batches);
}

TEST_F(ClassExamplesTest, AnImageThatIsNoneFailsTheBuildByItsName) {
  spec_.classes[0].examples = {{a_}};
  spec_.classes[1].examples = {{b_, "no image"}};
  const absl::Status status = Build().status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(FieldOf(status), "classes[1].example_images[1]");
  EXPECT_THAT(status.message(), HasSubstr("classes[1].example_images[1]: "));
  EXPECT_EQ(model_.text_calls(), 0);
}

TEST_F(ClassExamplesTest, VectorsThatCancelEachOtherOutMakeNoClass) {
  std::vector<float> two(2 * model_.info().embedding_dim);
  two[0] = 1;
  two[model_.info().embedding_dim] = -2;
  spec_.classes[1].examples = {{}, two};
  const absl::Status status = Build().status();
  EXPECT_EQ(FieldOf(status), "classes[1]") << status;
  EXPECT_THAT(status.message(), HasSubstr("cancel each other out"));
}

TEST_F(ClassExamplesTest, ProgressCountsImagesAndPrompts) {
  std::vector<std::string> images;
  for (int i = 0; i < 40; ++i) images.push_back(MakePng(i));
  spec_.classes[1].examples.images = {images.begin(), images.end()};
  std::vector<BuildProgress> seen;
  on_progress_ = [&](const BuildProgress& now) { seen.push_back(now); };
  ASSERT_TRUE(Build().ok());
  ASSERT_GE(seen.size(), 4);
  for (size_t i = 0; i < seen.size(); ++i) {
    EXPECT_EQ(seen[i].prompts_total, 44);
    if (i > 0) {
      EXPECT_GE(seen[i].prompts_done, seen[i - 1].prompts_done);
    }
  }
  EXPECT_GT(seen.back().prompts_done, 40);  // the fake's last step tells none
  EXPECT_THAT(seen, Contains(Field(&BuildProgress::prompts_done, 16)));
}

TEST_F(ClassExamplesTest, ImagesThatAreRefusedForTheMomentAreBroughtAgain) {
  int refused = 0;
  embed_ = [&](absl::Span<const absl::string_view> images,
               const base::Caller& all) -> absl::StatusOr<Embeddings> {
    if (++refused <= 3) {
      absl::Status full = absl::ResourceExhaustedError("full");
      SetRetryDelay(full, absl::Seconds(1));
      return full;
    }
    return embedder_.EmbedImages(images, all);
  };
  spec_.classes[1].examples = {{a_}};
  EXPECT_TRUE(Build().ok());
  EXPECT_EQ(refused, 4);
  // Memory that ran out is no such thing.
  embed_ = [](auto, const auto&) -> absl::StatusOr<Embeddings> {
    return absl::ResourceExhaustedError("memory");
  };
  spec_.classes[1].examples = {{b_}};
  EXPECT_TRUE(absl::IsResourceExhausted(Build().status()));
}

TEST_F(ClassExamplesTest, ABuildEndsWithinABatchWhenItsLastCallerHasGone) {
  std::vector<std::string> images;
  for (int i = 0; i < 64; ++i) images.push_back(MakePng(i));
  spec_.classes[1].examples.images = {images.begin(), images.end()};
  model_.CloseGate();
  std::atomic<bool> gone{false};
  base::Caller caller;
  caller.gone = [&] { return gone.load(); };
  absl::StatusOr<BuildResult> result = absl::UnknownError("not run");
  std::thread build([&] { result = Build(caller); });
  EXPECT_TRUE(model_.WaitForCallsAtGate(1));
  gone = true;
  model_.OpenGate();
  build.join();
  EXPECT_TRUE(absl::IsCancelled(result.status())) << result.status();
  EXPECT_EQ(model_.text_calls(), 0);
  EXPECT_LE(model_.image_batches(), 4 + 1);  // a call has 16, a batch 4
}

}  // namespace
}  // namespace zeroshot
