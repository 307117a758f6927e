// The two passes of Pillow's fixed-point resize, on samples of 8 bits.
//
// One source, resize_kernels_isa.cc, is compiled for several instruction sets;
// ResizeKernels::Best() picks what this CPU has. They add 32-bit integers, so
// all give the same bits.
//
// The pass over columns works on kRows rows at once, stored column by column
// ([columns, kRows]): one window of columns and its weights serve all of them,
// and a vector register holds one column of samples whatever the channels are.
// A tile of that kind is made and undone by the two transpositions.
#ifndef ZEROSHOT_CLIP_KERNELS_RESIZE_KERNELS_H_
#define ZEROSHOT_CLIP_KERNELS_RESIZE_KERNELS_H_

#include <cstdint>
#include <vector>

namespace clip {

// The input samples begin ... begin + size - 1 that an output sample is a
// weighted sum of; weights are integers in units of 2^-kWeightBits.
struct ResizeWindow {
  int32_t begin = 0;
  int32_t size = 0;
  const int32_t* weights = nullptr;  // [size]
};

struct ResizeKernels {
  static constexpr int kRows = 16;

  // 32 bits less 8 of the samples and 2 for sums that overshoot. Sums begin at
  // a half and end by a shift, clamped to 0 ... 255.
  static constexpr int kWeightBits = 32 - 8 - 2;

  const char* instruction_set;

  // The fastest that this CPU can run, and all that it can.
  static const ResizeKernels& Best();
  static std::vector<const ResizeKernels*> Supported();

  // kRows rows of `length` bytes -> tile [length, kRows], and back.
  void (*rows_to_tile)(const uint8_t* const* rows, int64_t length,
                       uint8_t* tile);
  void (*tile_to_rows)(const uint8_t* tile, int64_t length,
                       uint8_t* const* rows);

  // tile [columns, channels, kRows] -> out [count, channels, kRows], one
  // window an output column. REQUIRES: 1 <= channels <= 4.
  void (*resample_columns)(const uint8_t* tile, int channels,
                           const ResizeWindow* windows, int64_t count,
                           uint8_t* out);

  // sums[i] = (first ? a half : sums[i]) + row[i] * weight.
  void (*add_row)(const uint8_t* row, int64_t length, int32_t weight,
                  bool first, int32_t* sums);

  // out[i] = sums[i] as a sample.
  void (*round_row)(const int32_t* sums, int64_t length, uint8_t* out);
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_KERNELS_RESIZE_KERNELS_H_
