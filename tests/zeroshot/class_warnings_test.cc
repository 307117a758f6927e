#include "zeroshot/class_warnings.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_model.h"

namespace zeroshot {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

stores::WeightSet Set(std::vector<std::string> names,
                      std::vector<float> weights) {
  stores::WeightSet set;
  set.class_names = std::move(names);
  set.weights = std::move(weights);
  set.embedding_dim = 2;
  return set;
}

TEST(ClassWarningsTest, WarnsOfClassesThatTheModelCannotTellApart) {
  EXPECT_THAT(EqualVectorWarnings(Set({"cat", "dog"}, {1, 0, 0, 1}), 20),
              IsEmpty());
  EXPECT_THAT(
      EqualVectorWarnings(
          Set({"cat", "dog", "Cat", "DOG"}, {1, 0, 0, 1, 1, 1e-7f, 0, 1}), 20),
      ElementsAre(HasSubstr("classes 0 and 2, 'cat' and 'Cat', are the same"),
                  HasSubstr("classes 1 and 3, 'dog' and 'DOG', are the same")));
  // Near is not equal.
  EXPECT_THAT(EqualVectorWarnings(Set({"a", "b"}, {1, 0, 1, 1e-4f}), 20),
              IsEmpty());
}

TEST(ClassWarningsTest, LeavesEqualNamesToTheSpecification) {
  EXPECT_THAT(EqualVectorWarnings(Set({"cat", "cat"}, {1, 0, 1, 0}), 20),
              IsEmpty());
}

TEST(ClassWarningsTest, WarnsOfNamesWithoutAWordThatTheModelSaw) {
  clip::ModelInfo model = clip::FakeModel().info();
  const std::vector<int32_t> ids = *model.tokenizer->Encode("quokka wombat");
  model.unseen_tokens = {ids.begin() + 1, ids.end() - 1};
  std::sort(model.unseen_tokens.begin(), model.unseen_tokens.end());
  ClassifierSpec spec;
  spec.classes = {{"cat", {}},
                  {"quokka", {}},
                  {"a wombat", {}},
                  {"wombat", {"a prompt of its own"}}};
  const auto resolved = ResolvedSpec::Resolve(spec, BuildLimits());
  ASSERT_TRUE(resolved.ok());
  EXPECT_THAT(UnseenWordWarnings(*resolved, model, 20),
              ElementsAre(HasSubstr("class name 'quokka' has no word")));
  model.unseen_tokens.clear();
  EXPECT_THAT(UnseenWordWarnings(*resolved, model, 20), IsEmpty());
}

TEST(ClassWarningsTest, SaysNoMoreThanAskedFor) {
  std::vector<std::string> names;
  std::vector<float> weights;
  for (int c = 0; c < 30; ++c) {
    names.push_back(std::string(c + 1, 'a'));
    weights.insert(weights.end(), {1, 0});
  }
  EXPECT_THAT(EqualVectorWarnings(Set(names, weights), 20), SizeIs(20));
}

}  // namespace
}  // namespace zeroshot
