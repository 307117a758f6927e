#include "base/steps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "base/in_parallel.h"

namespace base {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<std::string> NamesOf(const std::vector<Steps::Step>& steps) {
  std::vector<std::string> names;
  for (const Steps::Step& step : steps) names.push_back(step.name);
  return names;
}

TEST(StepsTest, AStepLastsAsLongAsItsScopeAndIsBelowTheOneGiven) {
  Steps steps;
  {
    const ScopedStep outer(&steps, "outer");
    ScopedStep inner(outer, "inner");
    inner.Add({"things", 3});
  }
  { const ScopedStep next(&steps, "next"); }
  const std::vector<Steps::Step> all = steps.Take();
  ASSERT_THAT(NamesOf(all), ElementsAre("outer", "inner", "next"));
  EXPECT_EQ(all[0].above, Steps::kCall);
  EXPECT_EQ(all[1].above, 0);
  EXPECT_EQ(all[2].above, Steps::kCall);
  EXPECT_LE(all[0].start, all[1].start);
  EXPECT_LE(all[1].end, all[0].end);
  EXPECT_LE(all[0].end, all[2].start);
  ASSERT_THAT(all[1].facts, SizeIs(1));
  EXPECT_EQ(all[1].facts[0].value, 3);
}

TEST(StepsTest, NothingIsNotedWhereNobodyAsks) {
  ScopedStep outer(nullptr, "outer");
  ScopedStep inner(outer, "inner");
  inner.Add({"things", 3});
}

TEST(StepsTest, WhatHasNotEndedEndsWhenItIsTaken) {
  Steps steps;
  steps.Begin("open", MonotonicNow());
  const std::vector<Steps::Step> all = steps.Take();
  ASSERT_THAT(all, SizeIs(1));
  EXPECT_LE(all[0].end, MonotonicNow());
}

TEST(StepsTest, OneTooManyIsLeftOutWithWhatIsBelowIt) {
  Steps steps;
  for (int i = 0; i < Steps::kMost; ++i) {
    EXPECT_EQ(steps.Begin("a", MonotonicNow()), i);
  }
  EXPECT_EQ(steps.Begin("b", MonotonicNow()), Steps::kLeftOut);
  {
    ScopedStep outer(&steps, "c");
    const ScopedStep inner(outer, "d");
  }
  EXPECT_THAT(steps.Take(), SizeIs(Steps::kMost));
  EXPECT_THAT(Steps().Take(), IsEmpty());
}

TEST(StepsTest, ManyThreadsNoteAtOnce) {
  Steps steps;
  const absl::Status done = InParallel(100, 8, "this step", [&](size_t) {
    const ScopedStep step(&steps, "decode");
    return absl::OkStatus();
  });
  EXPECT_TRUE(done.ok());
  EXPECT_THAT(steps.Take(), SizeIs(100));
}

}  // namespace
}  // namespace base
