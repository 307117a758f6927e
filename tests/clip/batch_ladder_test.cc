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

}  // namespace
}  // namespace clip
