#include "zeroshot/pace.h"

#include <gtest/gtest.h>

namespace zeroshot {
namespace {

TEST(PaceTest, KnowsNothingBeforeTheFirstBatch) {
  Pace pace;
  EXPECT_EQ(pace.TimeFor(1000), absl::ZeroDuration());
  EXPECT_EQ(pace.LatestBatch(), absl::ZeroDuration());
}

// Moments of a clock of our own.
absl::Time At(int ms) {
  return absl::UnixEpoch() + absl::Hours(1) + absl::Milliseconds(ms);
}

TEST(PaceTest, CountsByThePicture) {
  Pace pace;
  pace.BatchBegan(At(0));
  pace.BatchRan(4, At(0), At(40));
  EXPECT_EQ(pace.TimeFor(3), absl::Milliseconds(30));
  EXPECT_EQ(pace.LatestBatch(), absl::Milliseconds(40));
}

TEST(PaceTest, FollowsTheDeviceAndForgetsOneSlowBatch) {
  Pace pace;
  pace.BatchBegan(At(0));
  pace.BatchRan(1, At(0), At(10'000));
  for (int i = 0; i < 30; ++i) {
    pace.BatchBegan(At(20'000 + 10 * i));
    pace.BatchRan(1, At(20'000 + 10 * i), At(20'010 + 10 * i));
  }
  EXPECT_LT(pace.TimeFor(1), absl::Milliseconds(15));
}

TEST(PaceTest, BatchesThatRunAtOnceShareTheirTime) {
  Pace pace;
  // Two devices, 40 ms a batch of 4, one half a batch after the other.
  pace.BatchBegan(At(0));
  for (int i = 0; i < 40; ++i) {
    pace.BatchBegan(At(20 + 20 * i));
    pace.BatchRan(4, At(20 * i), At(40 + 20 * i));
  }
  EXPECT_GE(pace.TimeFor(4), absl::Milliseconds(19));
  EXPECT_LE(pace.TimeFor(4), absl::Milliseconds(21));
  EXPECT_EQ(pace.LatestBatch(), absl::Milliseconds(40));
}

TEST(PaceTest, BatchesThatEndTogetherDoToo) {
  Pace pace;
  for (int i = 0; i < 40; ++i) {
    for (int device = 0; device < 2; ++device) pace.BatchBegan(At(40 * i));
    for (int device = 0; device < 2; ++device) {
      pace.BatchRan(4, At(40 * i), At(40 * i + 40));
    }
  }
  EXPECT_GE(pace.TimeFor(4), absl::Milliseconds(15));
  EXPECT_LE(pace.TimeFor(4), absl::Milliseconds(25));
}

TEST(PaceTest, TimeWithNothingToDoDoesNotCount) {
  Pace pace;
  for (int i = 0; i < 3; ++i) {
    pace.BatchBegan(At(10'000 * i));
    pace.BatchRan(1, At(10'000 * i), At(10'000 * i + 10));
  }
  EXPECT_EQ(pace.TimeFor(1), absl::Milliseconds(10));
}

TEST(PaceTest, KnowsTheOldestBatchThatRuns) {
  Pace pace;
  EXPECT_EQ(pace.OldestBegan(), absl::InfiniteFuture());
  pace.BatchBegan(At(1));
  pace.BatchBegan(At(2));
  pace.BatchBegan(At(2));
  EXPECT_EQ(pace.OldestBegan(), At(1));
  pace.BatchRan(1, At(2), At(3));
  EXPECT_EQ(pace.OldestBegan(), At(1));
  pace.BatchRan(1, At(1), At(4));
  EXPECT_EQ(pace.OldestBegan(), At(2));
  pace.BatchRan(1, At(2), At(5));
  EXPECT_EQ(pace.OldestBegan(), absl::InfiniteFuture());
}

}  // namespace
}  // namespace zeroshot
