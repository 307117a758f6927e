// The sizes of batches that something is prepared for ahead; a batch takes the
// next larger one and is padded.
#ifndef ZEROSHOT_CLIP_BATCH_LADDER_H_
#define ZEROSHOT_CLIP_BATCH_LADDER_H_

#include <vector>

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

}  // namespace clip

#endif  // ZEROSHOT_CLIP_BATCH_LADDER_H_
