// Temperature, background, thresholds and groups: what they make of cosines,
// and that they are part of a weight set wherever it goes.
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stores/memory_store.h"
#include "stores/stored_set.h"
#include "tests/testing/fake_model.h"
#include "zeroshot/classifier_spec.h"
#include "zeroshot/scores.h"
#include "zeroshot/weight_set_builder.h"
#include "zeroshot/weight_set_check.h"
#include "zeroshot/weight_set_file.h"

namespace zeroshot {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// Cosines of three classes and two of background, and what a loop in double
// makes of them.
struct Example {
  std::vector<float> cosines = {0.31f, 0.28f, -0.05f, 0.3f, 0.1f};
  stores::WeightSet set;
  clip::Head head{.scale = 20, .bias = -5};

  Example() {
    set.class_names = {"car", "bus", "cat"};
    set.background = {"texture", "else"};
    set.temperature = 2.5f;
    set.SetGroups({"vehicle", "vehicle", ""});
  }

  std::vector<double> Softmax() const {
    std::vector<double> exps;
    for (const float cosine : cosines) {
      exps.push_back(std::exp(20.0 * cosine / 2.5));
    }
    const double sum = std::accumulate(exps.begin(), exps.end(), 0.0);
    for (double& e : exps) e /= sum;
    return exps;
  }

  std::vector<double> Sigmoid() const {
    std::vector<double> p;
    for (const float cosine : cosines) {
      p.push_back(1 / (1 + std::exp(-(20.0 * cosine - 5) / 2.5)));
    }
    return p;
  }

  Scores Score(clip::ScoreFunction function, std::optional<float> threshold) {
    head.score_function = function;
    return *ScoresOf(set, cosines, {head, 5, true, threshold});
  }
};

TEST(DecisionsTest, SoftmaxSharesWithTheBackgroundAndSumsGroups) {
  Example example;
  const Scores scores =
      example.Score(clip::ScoreFunction::kSoftmax, std::nullopt);
  const std::vector<double> p = example.Softmax();
  ASSERT_THAT(scores.predictions, SizeIs(3));
  EXPECT_THAT(scores.probabilities,
              ElementsAre(FloatNear(p[0], 1e-6), FloatNear(p[1], 1e-6),
                          FloatNear(p[2], 1e-6)));
  for (const Prediction& prediction : scores.predictions) {
    const int c = prediction.class_index;
    EXPECT_EQ(prediction.probability, scores.probabilities[c]);
    EXPECT_FLOAT_EQ(prediction.logit, 20 * example.cosines[c] - 5);
    EXPECT_EQ(prediction.cosine, example.cosines[c]);
    EXPECT_TRUE(prediction.accepted);
  }
  EXPECT_NEAR(scores.other_probability, p[3] + p[4], 1e-6);
  ASSERT_THAT(scores.groups, SizeIs(1));
  EXPECT_EQ(scores.groups[0].group, "vehicle");
  EXPECT_NEAR(scores.groups[0].probability, p[0] + p[1], 1e-6);
}

TEST(DecisionsTest, SigmoidLooksAtEachAloneAndTakesTheLargest) {
  Example example;
  const Scores scores =
      example.Score(clip::ScoreFunction::kSigmoid, std::nullopt);
  const std::vector<double> p = example.Sigmoid();
  EXPECT_THAT(scores.probabilities,
              ElementsAre(FloatNear(p[0], 1e-6), FloatNear(p[1], 1e-6),
                          FloatNear(p[2], 1e-6)));
  EXPECT_NEAR(scores.other_probability, p[3], 1e-6);
  ASSERT_THAT(scores.groups, SizeIs(1));
  EXPECT_NEAR(scores.groups[0].probability, p[0], 1e-6);
}

TEST(DecisionsTest, AClassesOwnThresholdWinsOverTheCalls) {
  Example example;
  const std::vector<double> p = example.Sigmoid();
  example.set.min_probabilities = {0.99f, std::nullopt, 0.0f};
  const Scores scores = example.Score(clip::ScoreFunction::kSigmoid, 0.6f);
  ASSERT_GT(p[0], 0.6);
  ASSERT_LT(p[1], 0.6);
  ASSERT_LT(p[2], 0.6);
  ASSERT_THAT(scores.predictions, SizeIs(3));
  EXPECT_FALSE(scores.predictions[0].accepted);
  EXPECT_FALSE(scores.predictions[1].accepted);
  EXPECT_TRUE(scores.predictions[2].accepted);
  const Scores without =
      example.Score(clip::ScoreFunction::kSigmoid, std::nullopt);
  EXPECT_FALSE(without.predictions[0].accepted);
  EXPECT_TRUE(without.predictions[1].accepted);
}

TEST(DecisionsTest, AProbabilityThatIsTheThresholdIsAccepted) {
  Example example;
  const float p = example.Score(clip::ScoreFunction::kSoftmax, std::nullopt)
                      .predictions[0]
                      .probability;
  EXPECT_TRUE(
      example.Score(clip::ScoreFunction::kSoftmax, p).predictions[0].accepted);
  EXPECT_FALSE(
      example.Score(clip::ScoreFunction::kSoftmax, std::nextafter(p, 2.0f))
          .predictions[0]
          .accepted);
}

TEST(DecisionsTest, GroupsComeBestFirstAndTiesInOrderOfTheirClasses) {
  Example example;
  example.cosines = {0.1f, 0.4f, 0.1f, 0, 0};
  example.set.SetGroups({"b", "c", "a"});
  const Scores scores =
      example.Score(clip::ScoreFunction::kSoftmax, std::nullopt);
  ASSERT_THAT(scores.groups, SizeIs(3));
  EXPECT_EQ(scores.groups[0].group, "c");
  EXPECT_EQ(scores.groups[1].group, "b");
  EXPECT_EQ(scores.groups[2].group, "a");
}

// A temperature near 0 leaves the best class, one near infinity none.
TEST(DecisionsTest, AnyTemperatureGivesProbabilities) {
  Example example;
  for (const float temperature :
       {std::numeric_limits<float>::denorm_min(), 1e-30f, 1e-3f, 1e3f,
        std::numeric_limits<float>::max()}) {
    for (const auto function :
         {clip::ScoreFunction::kSoftmax, clip::ScoreFunction::kSigmoid}) {
      example.set.temperature = temperature;
      const Scores scores = example.Score(function, std::nullopt);
      EXPECT_EQ(scores.predictions[0].class_name, "car");
      for (const float p : scores.probabilities) {
        EXPECT_TRUE(p >= 0 && p <= 1) << temperature;
      }
      EXPECT_TRUE(scores.other_probability >= 0 &&
                  scores.other_probability <= 1);
    }
  }
  example.set.temperature = 1e-30f;
  EXPECT_EQ(example.Score(clip::ScoreFunction::kSoftmax, std::nullopt)
                .predictions[0]
                .probability,
            1);
}

TEST(DecisionsTest, ALogitOfTheBackgroundThatIsNotFiniteIsAnError) {
  for (const float bad : {kNan, kInf, -kInf}) {
    Example example;
    example.cosines[4] = bad;
    EXPECT_EQ(
        ScoresOf(example.set, example.cosines, {example.head}).status().code(),
        absl::StatusCode::kInternal);
  }
  Example example;
  example.head.bias = kNan;
  EXPECT_FALSE(ScoresOf(example.set, example.cosines, {example.head}).ok());
}

TEST(DecisionsTest, GroupsCountInTheAnswersBytes) {
  Example example;
  const int64_t with = AnswerBytes(example.set, 1, false);
  example.set.SetGroups({"", "", ""});
  EXPECT_GE(with, AnswerBytes(example.set, 1, false) + 7);
}

ClassifierSpec Spec() {
  ClassifierSpec spec;
  spec.classes = {{"car"}, {"bus"}, {"cat"}};
  return spec;
}

ClassifierSpec FullSpec() {
  ClassifierSpec spec = Spec();
  spec.classes[0].group = "vehicle";
  spec.classes[1].group = "vehicle";
  spec.classes[1].min_probability = 0.9f;
  spec.temperature = 0.7f;
  spec.background = {"texture", "else"};
  return spec;
}

std::string IdOf(const ClassifierSpec& spec) {
  return ResolvedSpec::Resolve(spec, BuildLimits())->Id("m", "fp32");
}

// The id that servers gave before there was more than classes and prompts.
TEST(DecisionsSpecTest, ASpecWithoutAnyKeepsTheIdOfBefore) {
  const std::string before =
      "02e0dd9983ef4b27ab617a22d22af614"
      "5ce623cf21b530ba6973ad1fd6433a16";
  EXPECT_EQ(IdOf(Spec()), before);
  ClassifierSpec one = Spec();
  one.temperature = 1;
  EXPECT_EQ(IdOf(one), before);
}

TEST(DecisionsSpecTest, EachIsPartOfTheId) {
  std::vector<ClassifierSpec> specs(9, Spec());
  specs[1].temperature = 2;
  specs[2].background = {"else"};
  specs[3].background = {"else", "more"};
  specs[4].background = {"more", "else"};
  specs[5].classes[0].min_probability = 0;
  specs[6].classes[1].min_probability = 0;
  specs[7].classes[0].group = "a";
  specs[8].classes[0].group = "b";
  std::set<std::string> ids;
  for (const ClassifierSpec& spec : specs) ids.insert(IdOf(spec));
  EXPECT_THAT(ids, SizeIs(specs.size()));
  // The last class is not the first of the background.
  ClassifierSpec moved = Spec();
  moved.classes.pop_back();
  moved.background = {"cat", "else"};
  ClassifierSpec other = Spec();
  other.background = {"else"};
  EXPECT_NE(IdOf(moved), IdOf(other));
}

void ExpectRefused(const ClassifierSpec& spec, absl::string_view message,
                   const BuildLimits& limits = {}) {
  const absl::Status status = ResolvedSpec::Resolve(spec, limits).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << message;
  EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(message)));
}

TEST(DecisionsSpecTest, WhatIsNotAllowedIsNamed) {
  for (const float bad : {-0.1f, 1.1f, kNan, kInf, -kInf}) {
    ClassifierSpec spec = Spec();
    spec.classes[2].min_probability = bad;
    ExpectRefused(spec, "classes[2].min_probability is ");
  }
  for (const float bad : {0.0f, -1.0f, kNan, kInf, -kInf}) {
    ClassifierSpec spec = Spec();
    spec.temperature = bad;
    ExpectRefused(spec, "temperature is ");
  }
  ClassifierSpec spec = Spec();
  spec.classes[1].group = std::string(100, 'g');
  ExpectRefused(spec, "classes[1].group has 100 bytes; at most 50 are allowed",
                {.max_text_bytes = 50});
  spec = Spec();
  spec.background = {"a", ""};
  ExpectRefused(spec, "background[1] is empty");
  spec.background = {"a", std::string(100, 'g')};
  ExpectRefused(spec, "background[1] has 100 bytes", {.max_text_bytes = 50});
  ExpectRefused(FullSpec(),
                "too many classes with background: 5 are given; at most 4",
                {.max_classes = 4});
  ExpectRefused(FullSpec(), "too many prompts", {.max_prompts = 4});
}

TEST(DecisionsSpecTest, ABackgroundThatIsAClassToIsWarnedOf) {
  ClassifierSpec spec = Spec();
  spec.background = {"cat", " "};
  EXPECT_THAT(
      ResolvedSpec::Resolve(spec, BuildLimits())->Warnings(),
      ElementsAre("the name of background[1] holds nothing but blanks",
                  "the name 'cat' is given twice: class 2 and background[0]"));
  // One class against the background is a question.
  spec = {};
  spec.classes = {{"cat"}};
  EXPECT_THAT(ResolvedSpec::Resolve(spec, BuildLimits())->Warnings(),
              SizeIs(1));
  spec.background = {"else"};
  EXPECT_THAT(ResolvedSpec::Resolve(spec, BuildLimits())->Warnings(),
              IsEmpty());
}

class DecisionsBuildTest : public ::testing::Test {
 protected:
  std::shared_ptr<const stores::WeightSet> Build(const ClassifierSpec& spec) {
    auto built = builder_.Build(spec, base::Caller(), nullptr);
    EXPECT_TRUE(built.ok()) << built.status();
    encoded_ = built->num_tokens_encoded;
    warnings_ = built->warnings;
    return built->set;
  }

  static std::string Serialized(const stores::WeightSet& set) {
    const absl::string_view weights = stores::WeightBytes(set);
    return stores::SerializeHeader(set).append(weights.data(), weights.size());
  }

  static void ExpectEqual(const stores::WeightSet& a,
                          const stores::WeightSet& b) {
    EXPECT_EQ(a.class_names, b.class_names);
    EXPECT_EQ(a.background, b.background);
    EXPECT_EQ(a.temperature, b.temperature);
    EXPECT_EQ(a.min_probabilities, b.min_probabilities);
    EXPECT_EQ(a.group_names, b.group_names);
    EXPECT_EQ(a.group_of, b.group_of);
    EXPECT_EQ(a.weights, b.weights);
  }

  clip::FakeModel model_;
  stores::MemoryStore store_{1 << 24};
  WeightSetBuilder builder_{&model_, &store_, BuildLimits(), 1};
  int64_t encoded_ = 0;
  std::vector<std::string> warnings_;
};

TEST_F(DecisionsBuildTest, TheBackgroundIsBuiltLikeClasses) {
  const auto set = Build(FullSpec());
  ClassifierSpec named = Spec();
  named.classes.push_back({"texture"});
  named.classes.push_back({"else"});
  const auto all = Build(named);
  EXPECT_EQ(set->weights, all->weights);
  EXPECT_EQ(set->num_classes(), 3);
  EXPECT_THAT(set->background, ElementsAre("texture", "else"));
  EXPECT_EQ(set->num_prompts, 5);
}

TEST_F(DecisionsBuildTest, ANewThresholdCostsNoEncoding) {
  const auto before = Build(FullSpec());
  EXPECT_GT(encoded_, 0);
  ClassifierSpec spec = FullSpec();
  spec.classes[0].min_probability = 0.25f;
  spec.temperature = 3;
  const auto after = Build(spec);
  EXPECT_EQ(encoded_, 0);
  EXPECT_NE(after->id, before->id);
  EXPECT_EQ(after->weights, before->weights);
}

TEST_F(DecisionsBuildTest, EqualVectorsOfClassAndBackgroundAreWarnedOf) {
  ClassifierSpec spec = Spec();
  spec.background = {"CAT"};
  Build(spec);
  EXPECT_THAT(warnings_,
              ElementsAre("class 2 and background[0], 'cat' and 'CAT', are the "
                          "same to the model: they share their probability"));
}

TEST_F(DecisionsBuildTest, AStoredSetHasAllOfIt) {
  const auto set = Build(FullSpec());
  const std::string file = Serialized(*set);
  const auto read =
      stores::ReadWeightSet(static_cast<int64_t>(file.size()), set->id, {},
                            [&](int64_t offset, absl::Span<char> out) {
                              file.copy(out.data(), out.size(), offset);
                              return absl::OkStatus();
                            });
  ASSERT_TRUE(read.ok()) << read.status();
  ExpectEqual(**read, *set);
  EXPECT_TRUE(CheckStored(**read, model_.info()).ok());
}

// Whoever may write where sets are stored can compute checksums.
TEST_F(DecisionsBuildTest, AStoredSetWithOtherDecisionsIsNotServed) {
  const auto set = Build(FullSpec());
  const auto expect_refused = [&](auto change) {
    stores::WeightSet other = *set;
    change(other);
    EXPECT_TRUE(absl::IsDataLoss(CheckStored(other, model_.info())));
    // The same of an imported set, whose id says what it is.
    other.id = std::string(stores::kImportedPrefix);
    EXPECT_TRUE(absl::IsDataLoss(CheckStored(other, model_.info())));
  };
  expect_refused([](auto& s) { s.temperature = 1; });
  expect_refused([](auto& s) { s.temperature = kNan; });
  expect_refused([](auto& s) { s.min_probabilities[0] = 0; });
  expect_refused([](auto& s) { s.min_probabilities.clear(); });
  expect_refused([](auto& s) { s.SetGroups({"", "", ""}); });
  expect_refused([](auto& s) { std::swap(s.background[0], s.background[1]); });
  expect_refused([](auto& s) {
    s.class_names.push_back(s.background[0]);
    s.background.erase(s.background.begin());
  });
  expect_refused([](auto& s) { s.background.pop_back(); });
  // A right id does not make wrong numbers right.
  for (const float bad : {kNan, 2.0f}) {
    stores::WeightSet other = *set;
    other.min_probabilities[0] = bad;
    other.id = ImportedId(other);
    EXPECT_TRUE(absl::IsDataLoss(CheckStored(other, model_.info())));
  }
}

TEST_F(DecisionsBuildTest, AFileHasAllOfItAndAnIdOfItsOwn) {
  const auto set = Build(FullSpec());
  const std::string file = Serialized(*set);
  const auto imported =
      ReadWeightSetFile({.bytes = file}, model_.info(), BuildLimits());
  ASSERT_TRUE(imported.ok()) << imported.status();
  ExpectEqual(*imported->set, *set);
  EXPECT_TRUE(CheckStored(*imported->set, model_.info()).ok());
  ClassifierSpec spec = FullSpec();
  spec.temperature = 2;
  const std::string other_file = Serialized(*Build(spec));
  const auto other =
      ReadWeightSetFile({.bytes = other_file}, model_.info(), BuildLimits());
  ASSERT_TRUE(other.ok());
  EXPECT_NE(other->set->id, imported->set->id);
}

TEST_F(DecisionsBuildTest, AnNpyFileHasTheBackgroundLast) {
  const auto set = Build(FullSpec());
  EXPECT_THAT(ExportHeader(*set, FileFormat::kNpy, Layout::kClassRows),
              HasSubstr("(5, 64)"));
  EXPECT_THAT(ExportHeader(*set, FileFormat::kNpy, Layout::kClassColumns),
              HasSubstr("(64, 5)"));
}

// One rule of a file at a time.
TEST_F(DecisionsBuildTest, AFileWithWrongDecisionsIsRefused) {
  const auto expect = [&](absl::string_view fields, absl::string_view message) {
    const std::string json = absl::StrCat(
        R"({"__metadata__":{"labels":"[\"a\",\"b\"]",)", fields,
        R"(},"w":{"dtype":"F32","shape":[2,64],"data_offsets":[0,512]}})");
    std::string file(8, '\0');
    file[0] = static_cast<char>(json.size() & 255);
    file[1] = static_cast<char>(json.size() >> 8);
    absl::StrAppend(&file, json, std::string(512, '\0'));
    const absl::Status status =
        ReadWeightSetFile({.bytes = file}, model_.info(), {.max_classes = 9})
            .status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << fields;
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(message)))
        << fields;
  };
  constexpr char kMetadata[] = "metadata is not as it must be";
  expect(R"("temperature":"hot")", kMetadata);
  expect(R"("temperature":"nan")", kMetadata);
  expect(R"("temperature":"-1")", "temperature is -1");
  expect(R"("min_probabilities":"[0.5]")", kMetadata);
  expect(R"("min_probabilities":"[0.5,null,null]")", kMetadata);
  expect(R"("min_probabilities":"[0.5,\"\"]")", kMetadata);
  expect(R"("min_probabilities":"[0.5,1e99]")", kMetadata);
  expect(R"("min_probabilities":"[0.5,true]")", kMetadata);
  expect(R"("min_probabilities":"[null,1.5]")", "classes[1].min_probability");
  expect(R"("groups":"[\"a\"]")", kMetadata);
  expect(R"("groups":"[1,2]")", kMetadata);
  expect(R"("background":"\"a\"")", kMetadata);
  expect(R"("background":"[\"\"]")", "background[0] is empty");
  expect(R"("background":"[\"c\"]")", "3 class names");
  expect(R"("background":"[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\"]")",
         "too many classes with background");
}

}  // namespace
}  // namespace zeroshot
