#include "zeroshot/weight_set_builder.h"

#include <atomic>
#include <cmath>
#include <exception>
#include <new>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stores/memory_store.h"
#include "tests/testing/encode_text.h"
#include "tests/testing/fake_model.h"

namespace zeroshot {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class WeightSetBuilderTest : public ::testing::Test {
 protected:
  static ClassifierSpec Spec(std::vector<std::string> names,
                             std::vector<std::string> templates = {}) {
    ClassifierSpec spec;
    for (std::string& name : names)
      spec.classes.push_back({std::move(name), {}});
    spec.templates = std::move(templates);
    return spec;
  }

  std::vector<float> EncodeOne(const std::string& prompt) {
    return *clip::testing::EncodeText(model_,
                                      {*model_.tokenizer().Encode(prompt)});
  }

  // A Build on a thread of its own.
  struct Call {
    absl::StatusOr<BuildResult> result = absl::UnknownError("not run");
    std::atomic<bool> gone{false};
    std::atomic<int> asked{0};  // how often whether it still waits
    std::thread thread;
  };
  void Start(Call* call, const ClassifierSpec& spec) {
    call->thread = std::thread([this, call, spec] {
      base::Caller caller;
      caller.gone = [call] {
        const bool gone = call->gone;
        ++call->asked;
        return gone;
      };
      call->result = builder_.Build(spec, caller, nullptr);
    });
  }

  // Returns once `call` leads a build or has joined one, and has been asked
  // again whether it still waits.
  static void WaitUntilAsked(Call* call) {
    const int before = call->asked;
    while (call->asked < before + 2) std::this_thread::yield();
  }

  // The first leads a build that stands at the closed gate; the second has
  // joined it.
  void StartTogether(Call* leader, Call* joiner) {
    model_.CloseGate();
    Start(leader, Spec({"cat", "dog"}));
    ASSERT_TRUE(model_.WaitForCallsAtGate(1));
    Start(joiner, Spec({"cat", "dog"}));
    WaitUntilAsked(joiner);
  }

  clip::FakeModel model_;
  stores::MemoryStore store_{1 << 20};
  WeightSetBuilder builder_{&model_, &store_, BuildLimits(), 2};
};

TEST_F(WeightSetBuilderTest, NotesItsStepsForWhoAsks) {
  base::Steps steps;
  base::Caller caller;
  caller.steps = &steps;
  ASSERT_TRUE(builder_.Build(Spec({"cat", "dog"}), caller, nullptr).ok());
  const std::vector<base::Steps::Step> all = steps.Take();
  std::vector<std::string> below;  // of the build
  for (const base::Steps::Step& step : all) {
    if (step.above == base::Steps::kCall) continue;
    EXPECT_STREQ(all[step.above].name, "build");
    below.push_back(step.name);
  }
  EXPECT_THAT(below, ::testing::ElementsAre("tokenize", "encode", "finish"));
}

TEST_F(WeightSetBuilderTest, AClassIsTheUnitMeanOfItsUnitPrompts) {
  const auto built = builder_.Build(
      Spec({"cat", "dog"}, {"a {}", "the {}", "{}"}), base::Caller(), nullptr);
  ASSERT_TRUE(built.ok()) << built.status();
  const stores::WeightSet& set = *built->set;
  const int dim = model_.info().embedding_dim;
  ASSERT_THAT(set.weights, SizeIs(2 * dim));
  std::vector<double> mean(dim);
  for (const char* prompt : {"a dog", "the dog", "dog"}) {
    const std::vector<float> row = EncodeOne(prompt);
    for (int d = 0; d < dim; ++d) mean[d] += row[d] / 3.0;
  }
  double norm = 0;
  for (double x : mean) norm += x * x;
  for (int d = 0; d < dim; ++d) {
    EXPECT_NEAR(set.weights[dim + d], mean[d] / std::sqrt(norm), 1e-6);
  }
}

TEST_F(WeightSetBuilderTest, DescribesWhatItBuilt) {
  const auto built =
      builder_.Build(Spec({"cat", "dog", "cat"}), base::Caller(), nullptr);
  ASSERT_TRUE(built.ok());
  EXPECT_FALSE(built->cached);
  EXPECT_EQ(built->set->num_prompts, 3);
  EXPECT_EQ(built->set->num_tokens, 3 * 8);  // a photo of a X .
  EXPECT_GT(built->num_tokens_encoded, 0);
  EXPECT_EQ(built->set->model_fingerprint, model_.info().fingerprint);
  EXPECT_EQ(built->set->precision, model_.info().precision);
  EXPECT_THAT(built->warnings, SizeIs(1));
}

TEST_F(WeightSetBuilderTest, ASecondBuildIsCached) {
  const auto first = builder_.Build(Spec({"cat"}), base::Caller(), nullptr);
  const int calls = model_.text_calls();
  const auto second = builder_.Build(Spec({"cat"}), base::Caller(), nullptr);
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(second->cached);
  EXPECT_EQ(second->num_tokens_encoded, 0);
  EXPECT_EQ(second->set, first->set);
  EXPECT_EQ(model_.text_calls(), calls);
}

TEST_F(WeightSetBuilderTest, EqualSpecsAskedAtOnceAreBuiltOnce) {
  model_.CloseGate();
  Call calls[5];
  for (Call& call : calls) Start(&call, Spec({"cat", "dog"}));
  for (Call& call : calls) WaitUntilAsked(&call);
  model_.OpenGate();
  for (Call& call : calls) call.thread.join();
  EXPECT_EQ(model_.text_calls(), 1);
  for (Call& call : calls) {
    ASSERT_TRUE(call.result.ok()) << call.result.status();
    EXPECT_EQ(call.result->set, calls[0].result->set);
  }
}

TEST_F(WeightSetBuilderTest, ABuildGoesOnWhileOneOfItsCallersIsLeft) {
  Call leader, joiner;
  StartTogether(&leader, &joiner);
  leader.gone = true;
  WaitUntilAsked(&leader);
  model_.OpenGate();
  leader.thread.join();
  joiner.thread.join();
  EXPECT_TRUE(joiner.result.ok()) << joiner.result.status();
  EXPECT_EQ(model_.text_calls(), 1);
}

TEST_F(WeightSetBuilderTest, ABuildStopsWhenItsLastCallerHasGone) {
  Call leader, joiner;
  StartTogether(&leader, &joiner);
  joiner.gone = true;
  joiner.thread.join();
  EXPECT_TRUE(absl::IsCancelled(joiner.result.status()));
  leader.gone = true;
  leader.thread.join();  // the gate is still closed
  EXPECT_TRUE(absl::IsCancelled(leader.result.status()));
  EXPECT_TRUE(store_.List("", 10)->empty());
  model_.OpenGate();
  EXPECT_TRUE(
      builder_.Build(Spec({"cat", "dog"}), base::Caller(), nullptr).ok());
}

TEST_F(WeightSetBuilderTest, MoreBuildsThanAllowedAreRefused) {
  model_.CloseGate();
  Call calls[2];
  Start(&calls[0], Spec({"cat"}));
  Start(&calls[1], Spec({"dog"}));
  ASSERT_TRUE(model_.WaitForCallsAtGate(2));
  const absl::Status refused =
      builder_.Build(Spec({"cow"}), base::Caller(), nullptr).status();
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_GT(RetryDelay(refused), absl::ZeroDuration());
  model_.OpenGate();
  for (Call& call : calls) call.thread.join();
  EXPECT_TRUE(builder_.Build(Spec({"cow"}), base::Caller(), nullptr).ok());
}

TEST_F(WeightSetBuilderTest, ProgressRisesToTheTotal) {
  std::vector<BuildProgress> seen;
  ASSERT_TRUE(builder_
                  .Build(Spec({"a", "b", "c", "d"}), base::Caller(),
                         [&](const BuildProgress& p) { seen.push_back(p); })
                  .ok());
  ASSERT_FALSE(seen.empty());
  int64_t last = 0, tokens = 0;
  for (const BuildProgress& progress : seen) {
    EXPECT_GE(progress.prompts_done, last);
    EXPECT_EQ(progress.prompts_total, 4);
    EXPECT_EQ(progress.time_left == absl::InfiniteDuration(),
              progress.prompts_done == 0);
    EXPECT_GE(progress.num_tokens_encoded, tokens);
    last = progress.prompts_done;
    tokens = progress.num_tokens_encoded;
  }
  EXPECT_GE(last, 3);
  EXPECT_GT(tokens, 0);
}

TEST_F(WeightSetBuilderTest, APromptTooLongIsRefusedWithClassAndPrompt) {
  std::string name = "mouse";
  for (int i = 0; i < 90; ++i) name += " trap";
  const absl::Status status =
      builder_.Build(Spec({"cat", name}), base::Caller(), nullptr).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("class 1"), HasSubstr("a photo of a mouse trap"),
                    HasSubstr("77")));
  EXPECT_EQ(model_.text_calls(), 0);
}

// A model that throws in the middle of a build.
template <typename Exception>
class ThrowingModel : public clip::FakeModel {
 public:
  absl::StatusOr<int64_t> EncodeText(absl::Span<const std::vector<int32_t>>,
                                     const clip::TextSink&,
                                     const clip::TextProgress&) override {
    throw Exception();
  }
};

// The same build twice: the second would wait if the first had not landed.
template <typename Exception>
std::vector<absl::StatusCode> BuildTwice(const ClassifierSpec& spec) {
  ThrowingModel<Exception> model;
  stores::MemoryStore store(1 << 20);
  WeightSetBuilder builder(&model, &store, BuildLimits(), 1);
  std::vector<absl::StatusCode> codes;
  for (int i = 0; i < 2; ++i) {
    codes.push_back(
        builder.Build(spec, base::Caller(), nullptr).status().code());
  }
  return codes;
}

TEST_F(WeightSetBuilderTest, AnEmbeddingThatIsNotFiniteNamesClassAndPrompt) {
  model_.SetTextRows(clip::FakeModel::Rows::kNaN);
  const ClassifierSpec spec = Spec({"cat"}, {"a photo of a {}."});
  const absl::Status status =
      builder_.Build(spec, base::Caller(), nullptr).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("class 0 ('cat')"),
                    HasSubstr("prompt 'a photo of a cat.'"),
                    HasSubstr("NaN or infinite")));
  // Nothing of it is kept.
  model_.SetTextRows(clip::FakeModel::Rows::kRight);
  const auto built = builder_.Build(spec, base::Caller(), nullptr);
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_FALSE(built->cached);
  EXPECT_GT(built->num_tokens_encoded, 0);
}

TEST_F(WeightSetBuilderTest, AClassNameInAMessageIsOneLineOfUtf8) {
  std::string name = "x\n";
  for (int i = 0; i < 100; ++i) name += "\xc3\xa9";  // e acute
  const absl::Status status =
      builder_.Build(Spec({name}), base::Caller(), nullptr).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr("class 0 ('x\\n"), ::testing::Not(HasSubstr("\n")),
            HasSubstr("...' (202 bytes)")));
}

TEST_F(WeightSetBuilderTest, ABuildThatRunsOutOfMemoryLeavesNobodyWaiting) {
  EXPECT_THAT(BuildTwice<std::bad_alloc>(Spec({"cat"})),
              Each(absl::StatusCode::kResourceExhausted));
}

TEST_F(WeightSetBuilderTest, ABuildThatThrowsLeavesNobodyWaiting) {
  EXPECT_THAT(BuildTwice<std::exception>(Spec({"cat"})),
              Each(absl::StatusCode::kInternal));
}

TEST_F(WeightSetBuilderTest, ASetThatTheStoreCannotHoldIsRefusedUnencoded) {
  stores::MemoryStore tiny(100);
  WeightSetBuilder builder(&model_, &tiny, BuildLimits(), 1);
  EXPECT_TRUE(absl::IsResourceExhausted(
      builder.Build(Spec({"cat"}), base::Caller(), nullptr).status()));
  EXPECT_EQ(model_.texts(), 0);
}

}  // namespace
}  // namespace zeroshot
