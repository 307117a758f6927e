#include "clip/torch/step_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace clip {
namespace {

using ::testing::ElementsAre;

TEST(StepRowsTest, FewNumbersServeAllSteps) {
  std::set<int64_t> nodes, ends;
  for (int64_t rows = 1; rows <= 1024; ++rows) {
    nodes.insert(RoundUpRows(rows, kNodesPerOctave));
    ends.insert(RoundUpRows(rows, kEndsPerOctave));
  }
  EXPECT_EQ(nodes.size(), 16 + 2 * 8);
  EXPECT_THAT(ends, ElementsAre(16, 32, 48, 64, 96, 128, 192, 256, 384, 512,
                                768, 1024));
}

TEST(StepRowsTest, LittleIsPadding) {
  for (int64_t rows = 1; rows <= 10'000; ++rows) {
    const int64_t padded = RoundUpRows(rows, kNodesPerOctave);
    EXPECT_GE(padded, rows);
    EXPECT_LT(padded - rows, std::max<int64_t>(16, rows / 8 + 1)) << rows;
    EXPECT_EQ(RoundUpRows(padded, kNodesPerOctave), padded);
  }
}

}  // namespace
}  // namespace clip
