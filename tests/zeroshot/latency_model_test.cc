#include "zeroshot/latency_model.h"

#include <gtest/gtest.h>

#include <initializer_list>

namespace zeroshot {
namespace {

// Moments of a clock of our own.
absl::Time At(int ms) {
  return absl::UnixEpoch() + absl::Hours(1) + absl::Milliseconds(ms);
}

class LatencyModelTest : public ::testing::Test {
 protected:
  // Batches one after the other, of a device with these costs.
  void Run(std::initializer_list<int> batches, int fixed_ms, int image_ms) {
    for (const int images : batches) {
      model_.BatchBegan(images, At(clock_ms_));
      const int end = clock_ms_ + fixed_ms + image_ms * images;
      model_.BatchEnded(images, At(clock_ms_), At(end));
      clock_ms_ = end;
    }
  }
  double BatchMs(int images) {
    return absl::ToDoubleMilliseconds(model_.BatchTime(images));
  }
  double StartMs(int ahead, int max_batch, int at_once = 1) {
    return absl::ToDoubleMilliseconds(
        model_.TimeToStart(ahead, max_batch, at_once, At(clock_ms_)));
  }

  LatencyModel model_;
  int clock_ms_ = 0;
};

TEST_F(LatencyModelTest, KnowsNothingBeforeTheFirstBatch) {
  EXPECT_EQ(BatchMs(1000), 0);
  EXPECT_EQ(StartMs(1000, 1), 0);
  EXPECT_EQ(model_.LatestBatch(), absl::ZeroDuration());
  EXPECT_EQ(model_.batches(), 0);
}

TEST_F(LatencyModelTest, LearnsWhatABatchAndWhatAnImageCosts) {
  Run({1, 4, 32, 7, 16, 2, 32, 1}, 20, 5);
  EXPECT_NEAR(BatchMs(1), 25, 3);
  EXPECT_NEAR(BatchMs(32), 180, 5);
  EXPECT_NEAR(BatchMs(64), 340, 15);
  EXPECT_EQ(model_.LatestBatch(), absl::Milliseconds(25));
  EXPECT_EQ(model_.batches(), 8);
}

TEST_F(LatencyModelTest, ADeviceThatBatchesForFreeTakesOneTimeForAnySize) {
  Run({1, 256, 3, 100}, 40, 0);
  EXPECT_NEAR(BatchMs(1), 40, 0.1);
  EXPECT_NEAR(BatchMs(256), 40, 0.1);
}

TEST_F(LatencyModelTest, ADeviceWithoutFixedCostTakesTimeInProportion) {
  Run({1, 32, 8, 16, 4}, 0, 10);
  EXPECT_NEAR(BatchMs(1), 10, 3);
  EXPECT_NEAR(BatchMs(32), 320, 10);
}

// An idle server has only seen batches of one, by the canary. It must not
// believe that 32 at once take 32 times as long.
TEST_F(LatencyModelTest, SizesNeverSeenAreNotPredictedLongerThanTheyMayBe) {
  Run({1, 1, 1}, 50, 0);
  EXPECT_NEAR(BatchMs(32), 50, 0.1);
  EXPECT_NEAR(StartMs(30, 32), 0, 0.1);
}

TEST_F(LatencyModelTest, NoiseAroundOneSizeDoesNotMakeASlope) {
  for (int i = 0; i < 20; ++i) {
    Run({31}, 100, 0);
    Run({32}, 110, 0);
  }
  EXPECT_LT(BatchMs(64), 130);
  EXPECT_GT(BatchMs(1), 50);
}

TEST_F(LatencyModelTest, TimeIsNeverNegative) {
  Run({32, 1, 32, 1}, 0, 1);
  Run({1}, 300, 0);
  Run({64}, 1, 0);
  EXPECT_GE(BatchMs(1), 0);
  EXPECT_GE(BatchMs(1000), 0);
}

TEST_F(LatencyModelTest, FollowsTheDeviceAndForgetsOneSlowBatch) {
  Run({1}, 10'000, 0);
  for (int i = 0; i < 30; ++i) Run({1}, 10, 0);
  EXPECT_LT(BatchMs(1), 15);
}

TEST_F(LatencyModelTest, WholeBatchesAreAhead) {
  Run({8, 8}, 100, 0);
  EXPECT_NEAR(StartMs(0, 8), 0, 0.1);
  EXPECT_NEAR(StartMs(7, 8), 0, 0.1);  // the newcomer is in their batch
  EXPECT_NEAR(StartMs(8, 8), 100, 0.1);
  EXPECT_NEAR(StartMs(15, 8), 100, 0.1);
  EXPECT_NEAR(StartMs(16, 8), 200, 0.1);
}

TEST_F(LatencyModelTest, WhatIsLeftOfARunningBatchIsAhead) {
  Run({8, 8}, 100, 0);
  model_.BatchBegan(8, At(clock_ms_));
  clock_ms_ += 30;
  EXPECT_NEAR(StartMs(8, 8), 70, 0.1);
  EXPECT_NEAR(StartMs(8 + 7, 8), 70, 0.1);
  EXPECT_NEAR(StartMs(8 + 8, 8), 170, 0.1);
  // One that takes longer than predicted may end at any moment.
  clock_ms_ += 300;
  EXPECT_NEAR(StartMs(8, 8), 0, 0.1);
}

TEST_F(LatencyModelTest, BatchesThatRunAtOnceAreWaitedForTogether) {
  Run({4, 4}, 100, 0);
  model_.BatchBegan(4, At(clock_ms_));
  EXPECT_NEAR(StartMs(4, 4, 2), 0, 0.1);  // the other device is free
  clock_ms_ += 40;
  model_.BatchBegan(4, At(clock_ms_));
  EXPECT_NEAR(StartMs(8, 4, 2), 60, 0.1);
  EXPECT_NEAR(StartMs(12, 4, 2), 100, 0.1);
  EXPECT_NEAR(StartMs(16, 4, 2), 160, 0.1);
}

TEST_F(LatencyModelTest, KnowsTheOldestBatchThatRuns) {
  EXPECT_EQ(model_.OldestBegan(), absl::InfiniteFuture());
  model_.BatchBegan(1, At(1));
  model_.BatchBegan(1, At(2));
  model_.BatchBegan(3, At(2));
  EXPECT_EQ(model_.OldestBegan(), At(1));
  model_.BatchEnded(3, At(2), At(3));
  EXPECT_EQ(model_.OldestBegan(), At(1));
  model_.BatchEnded(1, At(1), At(4));
  EXPECT_EQ(model_.OldestBegan(), At(2));
  model_.BatchEnded(1, At(2), At(5));
  EXPECT_EQ(model_.OldestBegan(), absl::InfiniteFuture());
}

}  // namespace
}  // namespace zeroshot
