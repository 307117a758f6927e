// How many rows a text step has on the CPU. oneDNN prepares each product for
// each number of rows that it meets and keeps that, some 0.1 MB, as long as the
// process lives: steps are padded, so that few numbers serve all of them and
// memory stays flat.
#ifndef ZEROSHOT_CLIP_TORCH_STEP_ROWS_H_
#define ZEROSHOT_CLIP_TORCH_STEP_ROWS_H_

#include <cstdint>

namespace clip {

// Multiples of 16, then `per_octave` numbers between a power of two and the
// next: at most 1 / per_octave is padding there. With 8 they are 16, 32, ...
// 256, 288, ... 512, 576, ...
inline int64_t RowUnit(int64_t rows, int64_t per_octave) {
  int64_t unit = 16;
  while (unit * 2 * per_octave < rows) unit *= 2;
  return unit;
}

// The next of them that is not smaller.
inline int64_t RoundUpRows(int64_t rows, int64_t per_octave) {
  const int64_t unit = RowUnit(rows, per_octave);
  return (rows + unit - 1) / unit * unit;
}

// Of the rows that every block computes, and of those that only the last one
// does, a small part of the work.
constexpr int64_t kNodesPerOctave = 8, kEndsPerOctave = 2;

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_STEP_ROWS_H_
