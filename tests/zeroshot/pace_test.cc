#include "zeroshot/pace.h"

#include <gtest/gtest.h>

namespace zeroshot {
namespace {

TEST(PaceTest, KnowsNothingBeforeTheFirstBatch) {
  Pace pace;
  EXPECT_EQ(pace.TimeFor(1000), absl::ZeroDuration());
  EXPECT_EQ(pace.LatestBatch(), absl::ZeroDuration());
}

TEST(PaceTest, CountsByThePicture) {
  Pace pace;
  pace.BatchRan(4, absl::Milliseconds(40));
  EXPECT_EQ(pace.TimeFor(3), absl::Milliseconds(30));
  EXPECT_EQ(pace.LatestBatch(), absl::Milliseconds(40));
}

TEST(PaceTest, FollowsTheDeviceAndForgetsOneSlowBatch) {
  Pace pace;
  pace.BatchRan(1, absl::Seconds(10));
  for (int i = 0; i < 30; ++i) pace.BatchRan(1, absl::Milliseconds(10));
  EXPECT_LT(pace.TimeFor(1), absl::Milliseconds(15));
}

}  // namespace
}  // namespace zeroshot
