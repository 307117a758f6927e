#include "zeroshot/weight_set_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace zeroshot {
namespace {

using ::testing::HasSubstr;

class WeightSetCheckTest : public ::testing::Test {
 protected:
  WeightSetCheckTest() {
    model_.fingerprint = "model";
    model_.precision = "fp32";
    model_.embedding_dim = 2;
    built_.model_fingerprint = imported_.model_fingerprint = "model";
    built_.precision = "fp32";
    built_.class_names = imported_.class_names = {"cat", "dog"};
    built_.embedding_dim = imported_.embedding_dim = 2;
    built_.weights = imported_.weights = {1, 0, 0.6f, 0.8f};
    built_.templates = {"a {}"};
    built_.own_prompts = {{}, {"my dog", "a dog"}};
    built_.examples = {stores::ClassExamples{"9f86", 2, 0.5f}, std::nullopt};
    built_.id = ResolvedSpec::Resolve(SpecOf(built_), {})->Id("model", "fp32");
    imported_.id = ImportedId(imported_);
  }

  static stores::WeightSet WithoutWeights(stores::WeightSet set) {
    set.weights.clear();
    return set;
  }

  std::string Error(const stores::WeightSet& set) {
    const absl::Status status = CheckStored(set, model_);
    if (status.ok()) return "";
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    return std::string(status.message());
  }

  clip::ModelInfo model_;
  stores::WeightSet built_, imported_;
};

TEST_F(WeightSetCheckTest, ASoundSetPasses) {
  for (const stores::WeightSet& set : {built_, imported_}) {
    EXPECT_EQ(Error(set), "");
    EXPECT_EQ(Error(WithoutWeights(set)), "");
  }
}

TEST_F(WeightSetCheckTest, AnotherDimensionIsNotServed) {
  for (stores::WeightSet set : {built_, imported_}) {
    set.embedding_dim = 1;
    set.weights = {1, 1};
    EXPECT_THAT(Error(set), HasSubstr("has 1 dimensions; the model has 2"));
    EXPECT_THAT(Error(WithoutWeights(set)), HasSubstr("has 1 dimensions"));
    set.embedding_dim = 1 << 20;
    EXPECT_THAT(Error(set), HasSubstr("has 1048576 dimensions"));
  }
}

TEST_F(WeightSetCheckTest, OtherThanOneRowAClassIsNotServed) {
  for (const std::vector<float>& weights :
       {std::vector<float>{1, 0}, std::vector<float>{1, 0, 0, 1, 1, 0}}) {
    built_.weights = weights;
    EXPECT_THAT(Error(built_), HasSubstr("not one row a class"));
  }
}

TEST_F(WeightSetCheckTest, RowsThatAreNoUnitVectorsAreNotServed) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float wrong : {std::nanf(""), kInfinity, -kInfinity}) {
    built_.weights[3] = wrong;
    EXPECT_THAT(Error(built_), ::testing::AllOf(HasSubstr("class 1, 'dog'"),
                                                HasSubstr("not finite")));
  }
  for (const float wrong : {0.0f, 1.0f, 1e30f, -5.0f}) {
    built_.weights[3] = wrong;
    EXPECT_THAT(Error(built_), HasSubstr("class 1, 'dog', has length"))
        << wrong;
  }
}

TEST_F(WeightSetCheckTest, AnIdOfOtherContentIsNotServed) {
  const auto forged = [this](void (*change)(stores::WeightSet&)) {
    stores::WeightSet set = built_;
    change(set);
    EXPECT_THAT(Error(set), HasSubstr("is not what its id says"));
    EXPECT_THAT(Error(WithoutWeights(set)),
                HasSubstr("is not what its id says"));
  };
  forged([](stores::WeightSet& set) { set.class_names[0] = "cow"; });
  forged([](stores::WeightSet& set) { set.templates[0] = "the {}"; });
  forged([](stores::WeightSet& set) { set.own_prompts[1].pop_back(); });
  forged([](stores::WeightSet& set) { set.own_prompts.clear(); });
  forged([](stores::WeightSet& set) { set.precision = "int8"; });
  forged([](stores::WeightSet& set) { set.examples.clear(); });
  forged([](stores::WeightSet& set) { set.examples[0]->sha256 = "9f87"; });
  forged([](stores::WeightSet& set) { set.examples[0]->count = 3; });
  forged([](stores::WeightSet& set) { set.examples[0]->weight = 1; });
  forged([](stores::WeightSet& set) { set.examples[0]->weight = 2; });
  forged([](stores::WeightSet& set) { set.templates = {"no place"}; });
  forged([](stores::WeightSet& set) { set.class_names[0] = ""; });
  forged([](stores::WeightSet& set) { set.id = std::string(64, 'a'); });
  stores::WeightSet other = imported_;
  other.weights = {0, 1, 1, 0};
  EXPECT_THAT(Error(other), HasSubstr("is not what its id says"));
  other = imported_;
  other.class_names[0] = "cow";
  EXPECT_THAT(Error(other), HasSubstr("is not what its id says"));
}

// It answers nothing here: Classify says so.
TEST_F(WeightSetCheckTest, ASetOfAnotherModelIsNotLookedAt) {
  built_.model_fingerprint = "other";
  built_.embedding_dim = 77;
  EXPECT_EQ(Error(built_), "");
}

}  // namespace
}  // namespace zeroshot
