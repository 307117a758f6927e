// What a transformer on the CPU computes besides its large matrix products:
// sums with layer norms, activations and attention, over a trie's ancestors or
// within sequences, each in one pass over rows that are in the cache.
//
// One source, tower_kernels_isa.cc, is compiled for several instruction sets;
// TowerKernels::Best() picks what this CPU has. All accumulate in float32 and
// agree within rounding, not bit for bit.
//
// Thread rule: functions without state over rows [begin, end); any number of
// threads may work on disjoint ranges. `scratch` is the calling thread's own.
#ifndef ZEROSHOT_CLIP_KERNELS_TOWER_KERNELS_H_
#define ZEROSHOT_CLIP_KERNELS_TOWER_KERNELS_H_

#include <cstdint>
#include <vector>

#include "clip/checkpoint/architecture.h"

namespace clip {

enum class ElementType { kFloat32, kBFloat16, kUint8 };

// Rows [n, width] to read, `stride` elements apart (0 means width), float32 or
// bfloat16. Element i of row r is worth
//   data * (row_scales ? row_scales[r] : 1) + (bias ? bias[i] : 0),
// as a matrix product of quantised rows leaves it.
struct RowsIn {
  const void* data = nullptr;
  ElementType type = ElementType::kFloat32;
  int64_t stride = 0;
  const float* row_scales = nullptr;
  const float* bias = nullptr;
};

// Rows [n, width] to write, one after the other. With row_scales each row is
// divided by its largest magnitude / 127, which is written there:
// an element is worth data * row_scales[row], for kUint8 (which needs them)
// (data - 128) * row_scales[row].
struct RowsOut {
  void* data = nullptr;
  ElementType type = ElementType::kFloat32;
  float* row_scales = nullptr;  // may be null, but for kUint8
};

// Attention of query i to the keys and values of its ancestors and itself, the
// rows ancestors[offsets[i]] ... ancestors[offsets[i + 1] - 1] of `keys` and
// `values`, every head on its own part of the width. No scales, no bias.
struct TrieAttention {
  RowsIn queries, keys, values;
  const int32_t* offsets = nullptr;
  const int32_t* ancestors = nullptr;
  int64_t heads = 0;
  RowsOut out;
};

// Attention of the queries of each of `sequences` sequences to all its keys and
// values, every head on its own part of the width. A sequence has `asking` rows
// of queries and of `out`, and `length` rows of keys and values; those of the
// sequences follow each other. No scales, no bias; `out` is float32 or
// bfloat16.
struct SequenceAttention {
  RowsIn queries, keys, values;
  int64_t sequences = 0;
  int64_t asking = 0;
  int64_t length = 0;
  int64_t heads = 0;
  RowsOut out;

  // What is computed as one: up to kBlock queries of a sequence, with one head.
  static constexpr int64_t kBlock = 32;
  int64_t blocks() const {
    return sequences * heads * ((asking + kBlock - 1) / kBlock);
  }
  // Floats. REQUIRES: heads divides width.
  int64_t scratch(int64_t width) const;
};

// Floats in the largest register of any instruction set.
constexpr int64_t kMaxLanes = 16;

// For paths of `longest` ancestors at most.
constexpr int64_t AttendScratch(int64_t width, int64_t heads, int64_t longest) {
  return 2 * width + (heads + kMaxLanes) * (longest + 1);
}

inline int64_t SequenceAttention::scratch(int64_t width) const {
  // Up to whole registers, or tiles, of any instruction set.
  const auto whole = [](int64_t n) {
    return (n + 2 * kMaxLanes - 1) / (2 * kMaxLanes) * (2 * kMaxLanes);
  };
  const int64_t rows = whole(length), room = whole(width / heads);
  return kMaxLanes + 2 * rows * room  // for alignment; keys, values
         +
         kBlock * (2 * rows + 2 * room + 1);  // weights; queries, sums, scales
}

struct TowerKernels {
  const char* instruction_set;

  // The fastest that this CPU can run, and all that it can.
  static const TowerKernels& Best();
  static std::vector<const TowerKernels*> Supported();

  // sum[r] += delta[r] (unless delta is null), then
  // out[r] = (sum[r] - mean) / sqrt(variance + epsilon) * weight + bias.
  // Sum is float32 [n, width]; scratch has `width` floats.
  void (*add_norm)(float* sum, const RowsIn* delta, const float* weight,
                   const float* bias, float epsilon, const RowsOut& out,
                   int64_t width, int64_t begin, int64_t end, float* scratch);

  // Scratch has `width` floats.
  void (*activate)(Activation activation, const RowsIn& in, const RowsOut& out,
                   int64_t width, int64_t begin, int64_t end, float* scratch);

  // From one type to another, with scales and bias applied. Scratch has
  // `width` floats.
  void (*convert)(const RowsIn& in, const RowsOut& out, int64_t width,
                  int64_t begin, int64_t end, float* scratch);

  // Queries [begin, end). Scratch has AttendScratch floats, all finite.
  // REQUIRES: heads divides width.
  void (*attend)(const TrieAttention& attention, int64_t width, int64_t begin,
                 int64_t end, float* scratch);

  // Blocks [begin, end) of blocks(). Neighbours share what is read of a
  // sequence. A query's result depends on its sequence alone, bit for bit.
  // REQUIRES: heads divides width.
  void (*attend_within)(const SequenceAttention& attention, int64_t width,
                        int64_t begin, int64_t end, float* scratch);
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_KERNELS_TOWER_KERNELS_H_
