// The sizes of batches that are prepared ahead (a batch takes the next larger
// one and is padded), and the choice of the largest.
#ifndef ZEROSHOT_CLIP_BATCH_LADDER_H_
#define ZEROSHOT_CLIP_BATCH_LADDER_H_

#include <algorithm>
#include <vector>

#include "absl/types/span.h"

namespace clip {

// Ascending, from 1 to `largest`: powers of two and one and a half times them
// (1, 2, 3, 4, 6, 8, 12, ...), so that never more than a third of a padded
// batch is padding. REQUIRES: largest >= 1.
inline std::vector<int> BatchLadder(int largest) {
  std::vector<int> sizes;
  for (int power = 1; power < largest; power *= 2) {
    sizes.push_back(power);
    if (power > 1 && power / 2 * 3 < largest) sizes.push_back(power / 2 * 3);
  }
  sizes.push_back(largest);
  return sizes;
}

// A batch longer than this makes a text step, and the next image, wait too long
// for what it gains.
constexpr double kLongestBatchSeconds = 0.1;

struct TimedBatch {
  int size = 0;
  double seconds = 0;
};

// The smallest size whose rate is within 3 % of the best rate of those that are
// not too long; the smallest of all if all are. REQUIRES: ascending sizes, at
// least one.
inline int WorthwhileBatch(absl::Span<const TimedBatch> timed) {
  constexpr double kNearlyBest = 0.97;
  const auto rate = [](const TimedBatch& batch) {
    return batch.seconds > kLongestBatchSeconds ? 0
                                                : batch.size / batch.seconds;
  };
  double best = 0;
  for (const TimedBatch& batch : timed) best = std::max(best, rate(batch));
  for (const TimedBatch& batch : timed) {
    if (rate(batch) >= kNearlyBest * best) return batch.size;
  }
  return timed.front().size;
}

}  // namespace clip

#endif  // ZEROSHOT_CLIP_BATCH_LADDER_H_
