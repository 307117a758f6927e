#include "clip/adaptive_size.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace clip {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Ranges = std::vector<std::pair<int64_t, int64_t>>;

// A device into which `room` items fit at once.
class FakeDevice {
 public:
  absl::Status Run(int64_t begin, int64_t end) {
    if (!error.ok()) return error;
    if (end - begin > room) {
      ++refused;
      return absl::ResourceExhaustedError("full");
    }
    done.push_back({begin, end});
    return absl::OkStatus();
  }

  absl::Status RunAll(int64_t n, AdaptiveSize* adaptive) {
    done.clear();
    return InParts(
        n, adaptive, [this](int64_t a, int64_t b) { return Run(a, b); },
        [this] { ++relieved; });
  }

  int64_t room = 1000;
  int refused = 0, relieved = 0;
  absl::Status error;
  Ranges done;
};

TEST(AdaptiveSizeTest, WhatFitsIsDoneInPartsOfTheLargestSize) {
  FakeDevice device;
  AdaptiveSize adaptive(1, 4);
  EXPECT_TRUE(device.RunAll(10, &adaptive).ok());
  EXPECT_THAT(device.done,
              ElementsAre(std::pair(0, 4), std::pair(4, 8), std::pair(8, 10)));
  EXPECT_EQ(device.relieved, 0);
  EXPECT_TRUE(device.RunAll(0, &adaptive).ok());
  EXPECT_THAT(device.done, IsEmpty());
}

TEST(AdaptiveSizeTest, WhatDoesNotFitIsHalvedUntilItDoesAndDoneInOrderOnce) {
  FakeDevice device;
  device.room = 3;
  AdaptiveSize adaptive(1, 8);
  EXPECT_TRUE(device.RunAll(9, &adaptive).ok());
  EXPECT_THAT(device.done,
              ElementsAre(std::pair(0, 2), std::pair(2, 4), std::pair(4, 6),
                          std::pair(6, 8), std::pair(8, 9)));
  EXPECT_EQ(device.refused, 2);  // 8 and 4
  EXPECT_EQ(device.relieved, 2);
}

TEST(AdaptiveSizeTest, TheSizeThatFittedIsTriedFirstNextTime) {
  FakeDevice device;
  device.room = 3;
  AdaptiveSize adaptive(1, 8);
  EXPECT_TRUE(device.RunAll(8, &adaptive).ok());
  EXPECT_TRUE(device.RunAll(8, &adaptive).ok());
  EXPECT_EQ(device.refused, 2);
  EXPECT_EQ(adaptive.size(), 2);
}

TEST(AdaptiveSizeTest, AfterManyThatFittedTheSizeDoublesUpToTheLargest) {
  FakeDevice device;
  device.room = 1;
  AdaptiveSize adaptive(1, 4);
  EXPECT_TRUE(device.RunAll(1, &adaptive).ok());
  EXPECT_EQ(adaptive.size(), 4);  // one fits: nothing was learned
  EXPECT_TRUE(device.RunAll(4, &adaptive).ok());
  EXPECT_EQ(adaptive.size(), 1);
  device.room = 1000;
  for (const int64_t size : {2, 4, 4}) {
    for (int i = 0; i < AdaptiveSize::kCalm; ++i)
      EXPECT_TRUE(device.RunAll(adaptive.size(), &adaptive).ok());
    EXPECT_EQ(adaptive.size(), size);
  }
}

TEST(AdaptiveSizeTest, SmallTriesDoNotMakeTheSizeGrow) {
  AdaptiveSize adaptive(1, 8);
  EXPECT_TRUE(adaptive.Failed(8));
  for (int i = 0; i < 10 * AdaptiveSize::kCalm; ++i) adaptive.Fitted(2);
  EXPECT_EQ(adaptive.size(), 4);
}

TEST(AdaptiveSizeTest, ASmallerTryThatFailsHalvesWhatWasTried) {
  AdaptiveSize adaptive(1, 256);
  EXPECT_TRUE(adaptive.Failed(10));
  EXPECT_EQ(adaptive.size(), 5);
  EXPECT_TRUE(adaptive.Failed(64));  // of a call that began before
  EXPECT_EQ(adaptive.size(), 5);
}

TEST(AdaptiveSizeTest, WhereTheSmallestDoesNotFitTheCallFails) {
  FakeDevice device;
  device.room = 1;
  AdaptiveSize adaptive(2, 8);
  EXPECT_EQ(device.RunAll(8, &adaptive).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(device.refused, 3);  // 8, 4, 2
  EXPECT_THAT(device.done, IsEmpty());
}

TEST(AdaptiveSizeTest, OtherErrorsPassThroughAtOnce) {
  FakeDevice device;
  device.error = absl::UnavailableError("lost");
  AdaptiveSize adaptive(1, 8);
  EXPECT_EQ(device.RunAll(8, &adaptive), device.error);
  EXPECT_EQ(device.relieved, 0);
  EXPECT_EQ(adaptive.size(), 8);
}

}  // namespace
}  // namespace clip
