#include "clip/batch_ladder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace clip {
namespace {

using ::testing::ElementsAre;

TEST(BatchLadderTest, HasPowersOfTwoAndWhatLiesBetween) {
  EXPECT_THAT(BatchLadder(1), ElementsAre(1));
  EXPECT_THAT(BatchLadder(2), ElementsAre(1, 2));
  EXPECT_THAT(BatchLadder(3), ElementsAre(1, 2, 3));
  EXPECT_THAT(BatchLadder(16), ElementsAre(1, 2, 3, 4, 6, 8, 12, 16));
  EXPECT_THAT(BatchLadder(20), ElementsAre(1, 2, 3, 4, 6, 8, 12, 16, 20));
  EXPECT_EQ(BatchLadder(256).size(), 16);
}

TEST(BatchLadderTest, AThirdAtMostIsPadding) {
  for (int largest = 1; largest <= 300; ++largest) {
    const std::vector<int> ladder = BatchLadder(largest);
    ASSERT_TRUE(std::is_sorted(ladder.begin(), ladder.end()));
    ASSERT_EQ(ladder.back(), largest);
    ASSERT_EQ(std::adjacent_find(ladder.begin(), ladder.end()), ladder.end());
    for (int n = 1; n <= largest; ++n) {
      const int size = *std::lower_bound(ladder.begin(), ladder.end(), n);
      ASSERT_LE(3 * (size - n), size) << n << " in " << size;
    }
  }
}

TEST(WorthwhileBatchTest, IsTheSmallestThatIsNearlyAsFastAsTheBest) {
  EXPECT_EQ(WorthwhileBatch({{1, 0.010}, {2, 0.011}, {4, 0.012}}), 4);
  // 100, 150, 199 and 200 images per second.
  EXPECT_EQ(
      WorthwhileBatch({{1, 0.0100}, {2, 0.0133}, {4, 0.0201}, {8, 0.0400}}), 4);
}

TEST(WorthwhileBatchTest, IsNotLongerThanOthersMayWait) {
  // The largest would be the fastest.
  EXPECT_EQ(WorthwhileBatch({{16, 0.050}, {32, 0.090}, {64, 0.110}}), 32);
  // Even one image takes too long.
  EXPECT_EQ(WorthwhileBatch({{1, 0.3}, {2, 0.4}}), 1);
}

}  // namespace
}  // namespace clip
