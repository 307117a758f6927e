#include "clip/text_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace clip {
namespace {

using ::testing::ElementsAre;
using Sequences = std::vector<std::vector<int32_t>>;

TEST(TextPlanTest, EncodesEqualSequencesOnceAndShortestFirst) {
  const Sequences sequences = {{1, 2, 3, 9}, {1, 9}, {1, 2, 3, 9}, {0, 9}};
  const TextPlan plan = PlanText(sequences, 100);
  ASSERT_EQ(plan.rows.size(), 3);
  EXPECT_THAT(plan.rows[0], ElementsAre(0, 9));
  EXPECT_THAT(plan.rows[1], ElementsAre(1, 9));
  EXPECT_THAT(plan.rows[2], ElementsAre(1, 2, 3, 9));
  EXPECT_THAT(plan.row_of, ElementsAre(2, 1, 2, 0));
  EXPECT_THAT(plan.sequences, ElementsAre(1, 1, 2));
}

TEST(TextPlanTest, CutsBehindTheFirstHighestId) {
  const Sequences sequences = {{1, 9, 5, 9}, {1, 9}};
  const TextPlan plan = PlanText(sequences, 100);
  ASSERT_EQ(plan.rows.size(), 1);
  EXPECT_THAT(plan.rows[0], ElementsAre(1, 9));
}

TEST(TextPlanTest, StepsCoverAllRowsWithinTheBound) {
  Sequences sequences;
  for (int length = 1; length <= 20; ++length) {
    for (int i = 0; i < 7; ++i) {
      sequences.emplace_back(length, i);
      sequences.back().back() = 100;
      sequences.back()[0] = length == 1 ? 100 + i : i;
    }
  }
  const TextPlan plan = PlanText(sequences, 64);
  ASSERT_EQ(plan.rows.size(), sequences.size());
  int64_t next = 0;
  for (const TextStep& step : plan.steps) {
    EXPECT_EQ(step.begin, next);
    EXPECT_LT(step.begin, step.end);
    EXPECT_EQ(step.length, plan.rows[step.end - 1].size());
    EXPECT_LE((step.end - step.begin) * step.length, 64);
    next = step.end;
  }
  EXPECT_EQ(next, plan.rows.size());
}

TEST(TextPlanTest, ASequenceOverTheBoundIsAStepOfItsOwn) {
  const Sequences sequences = {{1, 2, 3, 4, 9}, {1, 2, 3, 5, 9}};
  EXPECT_EQ(PlanText(sequences, 3).steps.size(), 2);
}

TEST(TextPlanTest, NothingNeedsNoStep) {
  EXPECT_TRUE(PlanText({}, 10).steps.empty());
}

}  // namespace
}  // namespace clip
