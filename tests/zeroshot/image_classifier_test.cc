#include "zeroshot/image_classifier.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stores/memory_store.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/make_png.h"

namespace zeroshot {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

stores::WeightSet ThreeClasses() {
  stores::WeightSet set;
  set.id = "id";
  set.class_names = {"a", "b", "c"};
  set.embedding_dim = 2;
  set.weights = {1, 0, 0, 1, 0.6f, 0.8f};
  return set;
}

// As ImageClassifier scores: cosines, then the answer to them.
absl::StatusOr<Scores> Score(const stores::WeightSet& set,
                             absl::Span<const float> embedding, float scale,
                             int top_k, bool return_probabilities) {
  return ScoresOf(set, Scorer().Cosines(set, embedding),
                  {{.scale = scale}, top_k, return_probabilities});
}

TEST(ScoreTest, IsTheSoftmaxOfScaledCosines) {
  const Scores answer = *Score(ThreeClasses(), {0, 1}, 10, 3, true);
  const double sum = 1 + std::exp(-10) + std::exp(-2);
  ASSERT_THAT(answer.predictions, SizeIs(3));
  EXPECT_EQ(answer.predictions[0].class_name, "b");
  EXPECT_EQ(answer.predictions[0].class_index, 1);
  EXPECT_FLOAT_EQ(answer.predictions[0].logit, 10);
  EXPECT_FLOAT_EQ(answer.predictions[0].probability, 1 / sum);
  EXPECT_EQ(answer.predictions[1].class_name, "c");
  EXPECT_FLOAT_EQ(answer.predictions[1].probability, std::exp(-2) / sum);
  EXPECT_THAT(answer.probabilities,
              ElementsAre(::testing::FloatEq(std::exp(-10) / sum),
                          ::testing::FloatEq(1 / sum),
                          ::testing::FloatEq(std::exp(-2) / sum)));
}

TEST(ScoreTest, MoreThanThereAreClassesMeansAll) {
  EXPECT_THAT(Score(ThreeClasses(), {0, 1}, 1, 50, false)->predictions,
              SizeIs(3));
  EXPECT_THAT(Score(ThreeClasses(), {0, 1}, 1, 1, false)->predictions,
              SizeIs(1));
}

TEST(ScoreTest, TiesGoToTheLowerIndex) {
  stores::WeightSet set = ThreeClasses();
  set.weights = {0, 1, 0, 1, 0, 1};
  const Scores answer = *Score(set, {0, 1}, 100, 3, false);
  EXPECT_EQ(answer.predictions[0].class_index, 0);
  EXPECT_EQ(answer.predictions[2].class_index, 2);
}

TEST(ScoreTest, LargeLogitsDoNotOverflow) {
  const Scores answer = *Score(ThreeClasses(), {1, 0}, 1e6, 3, true);
  EXPECT_FLOAT_EQ(answer.predictions[0].probability, 1);
  for (float p : answer.probabilities) EXPECT_TRUE(std::isfinite(p));
}

TEST(ScoreTest, ALogitThatIsNotFiniteIsAnErrorNotAnAnswer) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    stores::WeightSet set = ThreeClasses();
    set.id = "5e7";
    set.weights[2] = bad;
    const absl::Status status =
        Score(set, {0.6f, 0.8f}, 100, 1, false).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << bad;
    EXPECT_THAT(std::string(status.message()), HasSubstr("weight set 5e7"));
  }
}

TEST(ScoreTest, AgreesWithADoublePrecisionLoopForAnyWidth) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (const int dim : {1, 7, 16, 17, 128, 513}) {
    stores::WeightSet set;
    set.embedding_dim = dim;
    set.class_names.resize(40);
    set.weights.resize(40 * dim);
    for (float& w : set.weights) w = normal(random);
    std::vector<float> x(dim);
    for (float& v : x) v = normal(random);
    const Scores answer = *Score(set, x, 2, 40, false);
    for (const Prediction& p : answer.predictions) {
      double dot = 0;
      for (int d = 0; d < dim; ++d) {
        dot += double{x[d]} * set.weights[p.class_index * dim + d];
      }
      EXPECT_NEAR(p.logit, 2 * dot, 1e-3);
    }
  }
}

TEST(ScoreTest, TheBestComeSortedForAnyTopK) {
  constexpr int kClasses = 5000;
  std::mt19937 random(4);
  stores::WeightSet set;
  set.embedding_dim = 1;
  set.class_names.resize(kClasses);
  set.weights = stores::MakeWeights(kClasses);
  // Few different values: ties throughout.
  for (float& w : set.weights) w = random() % 500;
  const Scores all = *Score(set, {1}, 1, kClasses, false);
  ASSERT_THAT(all.predictions, SizeIs(kClasses));
  for (int i = 1; i < kClasses; ++i) {
    const Prediction& a = all.predictions[i - 1];
    const Prediction& b = all.predictions[i];
    ASSERT_TRUE(a.logit > b.logit ||
                (a.logit == b.logit && a.class_index < b.class_index));
  }
  for (const int k : {1, 2, 77, 78, 79, 500, 4999}) {
    const Scores best = *Score(set, {1}, 1, k, false);
    ASSERT_THAT(best.predictions, SizeIs(k));
    for (int i = 0; i < k; ++i) {
      ASSERT_EQ(best.predictions[i].class_index,
                all.predictions[i].class_index);
    }
  }
}

TEST(ScoreTest, ProbabilitiesOfManyClassesSumToOne) {
  constexpr int kClasses = 100'000;
  stores::WeightSet set;
  set.embedding_dim = 1;
  set.class_names.resize(kClasses);
  set.weights = stores::MakeWeights(kClasses);
  for (int c = 0; c < kClasses; ++c) set.weights[c] = c % 100 * 1e-3f;
  // Huge, tiny and negative logits, which a plain exp would not survive.
  for (const float scale : {1e-3f, 100.0f, 1e6f, -1e6f}) {
    const Scores answer = *Score(set, {1}, scale, 5, true);
    double sum = 0;
    for (const float p : answer.probabilities) sum += p;
    EXPECT_NEAR(sum, 1, 1e-5) << scale;
  }
}

// Over and under the size of a huge page, and in between.
TEST(MakeWeightsTest, GivesZerosOfAnySize) {
  for (const size_t count : {0, 1, 1000, 524'288, 600'000, 1'500'001}) {
    const std::vector<float> weights = stores::MakeWeights(count);
    ASSERT_THAT(weights, SizeIs(count));
    EXPECT_EQ(std::count(weights.begin(), weights.end(), 0.0f), count);
  }
}

class ImageClassifierTest : public ::testing::Test {
 protected:
  ImageClassifierTest() {
    auto set = std::make_shared<stores::WeightSet>();
    set->id = "id";
    set->model_fingerprint = model_.info().fingerprint;
    set->embedding_dim = model_.info().embedding_dim;
    for (uint32_t seed = 0; seed < 4; ++seed) {
      const std::string png = testing_images::MakePng(seed);
      const std::vector<float> row =
          embedder_.EmbedImages({png}, base::Caller())->rows;
      set->class_names.push_back("image " + std::to_string(seed));
      set->weights.insert(set->weights.end(), row.begin(), row.end());
    }
    EXPECT_TRUE(store_.Put(set).ok());
  }

  // The one answer to a call with one image.
  absl::StatusOr<Answer> Classify(const ClassifyCall& call) {
    auto answers = classifier_.Classify(call, base::Caller());
    if (!answers.ok()) return answers.status();
    EXPECT_THAT(*answers, SizeIs(1));
    return std::move(answers->front());
  }

  absl::StatusOr<Answer> Classify(absl::string_view image,
                                  const std::string& id) {
    ClassifyCall call;
    call.images = {image};
    call.weight_set_id = id;
    return Classify(call);
  }

  clip::FakeModel model_;
  stores::MemoryStore store_{1 << 20};
  Embedder embedder_{&model_, EmbedderOptions()};
  ImageClassifier classifier_{&model_, &embedder_, &store_};
};

TEST_F(ImageClassifierTest, FindsTheClassWhoseVectorIsTheImages) {
  for (uint32_t seed = 0; seed < 4; ++seed) {
    const auto answer = Classify(testing_images::MakePng(seed), "id");
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->predictions[0].class_index, seed);
    EXPECT_NEAR(answer->predictions[0].logit, model_.head().scale, 1e-3);
    EXPECT_THAT(answer->probabilities, SizeIs(0));
  }
}

TEST_F(ImageClassifierTest, AnUnknownWeightSetIsNotFoundBeforeTheImageIsRead) {
  EXPECT_TRUE(absl::IsNotFound(Classify("not an image", "other").status()));
}

TEST_F(ImageClassifierTest, BytesThatAreNoImageAreRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(Classify("not an image", "id").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Classify("", "id").status()));
}

TEST_F(ImageClassifierTest, SeveralWeightSetsCostOneImagePass) {
  // The same classes in the opposite order.
  auto set = std::make_shared<stores::WeightSet>(**store_.Get("id"));
  set->id = "reversed";
  std::reverse(set->class_names.begin(), set->class_names.end());
  const int dim = set->embedding_dim;
  for (int c = 0; c < 2; ++c) {
    std::swap_ranges(set->weights.begin() + c * dim,
                     set->weights.begin() + (c + 1) * dim,
                     set->weights.begin() + (3 - c) * dim);
  }
  ASSERT_TRUE(store_.Put(set).ok());
  const int before = model_.image_batches();
  const std::string png = testing_images::MakePng(1);
  ClassifyCall call;
  call.images = {png};
  call.weight_set_id = "id";
  call.more_weight_set_ids = {"reversed", "id"};
  call.top_k = 2;
  call.return_probabilities = true;
  const auto answer = Classify(call);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(model_.image_batches(), before + 1);
  EXPECT_EQ(answer->predictions[0].class_index, 1);
  ASSERT_THAT(answer->more, SizeIs(2));
  EXPECT_EQ(answer->more[0].predictions[0].class_index, 2);
  EXPECT_EQ(answer->more[0].predictions[0].class_name, "image 1");
  EXPECT_EQ(answer->more[1].predictions[0].class_index, 1);
  for (const Scores& scores : answer->more) {
    EXPECT_THAT(scores.predictions, SizeIs(2));
    EXPECT_THAT(scores.probabilities, SizeIs(4));
    EXPECT_EQ(scores.predictions[0].logit, answer->predictions[0].logit);
  }
}

TEST_F(ImageClassifierTest, ABatchIsAnsweredAsItsImagesAreAlone) {
  ClassifyCall call;
  call.weight_set_id = "id";
  call.more_weight_set_ids = {"id"};
  call.return_probabilities = true;
  std::vector<std::string> images;
  for (uint32_t seed = 0; seed < 4; ++seed) {
    images.push_back(testing_images::MakePng(seed));
    images.push_back(seed == 0 ? "" : "not an image");
  }
  call.images = {images.begin(), images.end()};
  const auto answers = classifier_.Classify(call, base::Caller());
  ASSERT_TRUE(answers.ok()) << answers.status();
  ASSERT_THAT(*answers, SizeIs(8));
  for (size_t i = 0; i < answers->size(); ++i) {
    const absl::StatusOr<Answer>& answer = (*answers)[i];
    call.images = {images[i]};
    const absl::StatusOr<Answer> alone = Classify(call);
    ASSERT_EQ(answer.status(), alone.status()) << i;
    if (!answer.ok()) continue;
    EXPECT_EQ(answer->predictions[0].class_index, i / 2);
    EXPECT_EQ(answer->probabilities, alone->probabilities) << i;
    ASSERT_THAT(answer->more, SizeIs(1));
    EXPECT_EQ(answer->more[0].probabilities, alone->probabilities) << i;
    EXPECT_GT(answer->timing.decode, absl::ZeroDuration());
  }
}

TEST_F(ImageClassifierTest, ABatchThatHoldsNoImageIsAnsweredWithoutTheTower) {
  ClassifyCall call;
  call.weight_set_id = "id";
  const int before = model_.image_batches();
  EXPECT_THAT(*classifier_.Classify(call, base::Caller()), SizeIs(0));
  call.images = {"", "x"};
  const auto answers = classifier_.Classify(call, base::Caller());
  for (const absl::StatusOr<Answer>& answer : *answers) {
    EXPECT_TRUE(absl::IsInvalidArgument(answer.status()));
  }
  EXPECT_EQ(model_.image_batches(), before);
}

TEST_F(ImageClassifierTest, TheAnswersOfABatchAreAdmittedTogether) {
  const std::string png = testing_images::MakePng(1);
  std::vector<int64_t> asked;
  ClassifyCall call;
  call.weight_set_id = "id";
  call.admit_answer = [&](int64_t bytes) {
    asked.push_back(bytes);
    return asked.size() < 2 ? absl::OkStatus()
                            : absl::ResourceExhaustedError("full");
  };
  call.images = {png};
  EXPECT_TRUE(classifier_.Classify(call, base::Caller()).ok());
  call.images = {png, png, "x"};
  EXPECT_TRUE(absl::IsResourceExhausted(
      classifier_.Classify(call, base::Caller()).status()));
  ASSERT_THAT(asked, SizeIs(2));
  EXPECT_EQ(asked[1], 3 * asked[0]);
}

TEST_F(ImageClassifierTest, OneWrongWeightSetOfSeveralIsNamedAndCostsNoPass) {
  const int before = model_.image_batches();
  const std::string png = testing_images::MakePng(1);
  ClassifyCall call;
  call.images = {png};
  call.weight_set_id = "id";
  call.more_weight_set_ids = {"id", "missing"};
  const absl::Status status = Classify(call).status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("'missing'"));
  EXPECT_EQ(model_.image_batches(), before);
}

TEST_F(ImageClassifierTest, AWeightSetOfAnotherModelIsRefused) {
  auto set = std::make_shared<stores::WeightSet>(**store_.Get("id"));
  set->id = "foreign";
  set->model_fingerprint = "another";
  ASSERT_TRUE(store_.Put(set).ok());
  const absl::Status status =
      Classify(testing_images::MakePng(0), "foreign").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()),
              ::testing::AllOf(HasSubstr("'foreign'"), HasSubstr("another")));
}

}  // namespace
}  // namespace zeroshot
