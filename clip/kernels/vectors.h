// Registers as the compiler's vectors of floats: loads, stores and sums of
// lanes. For the files that are compiled once for each instruction set, with
// CLIP_VECTOR_BYTES the size of its registers.
//
// Nothing here may have linkage that another file could share: the linker
// keeps one copy of an inline function, and it must not be the one that only
// some CPUs can run. So everything is in an unnamed namespace, and nothing of
// the standard library's is called.
#ifndef ZEROSHOT_CLIP_KERNELS_VECTORS_H_
#define ZEROSHOT_CLIP_KERNELS_VECTORS_H_

#include <immintrin.h>

#include <cstdint>
#include <utility>

#include "clip/kernels/tower_kernels.h"

#define CLIP_INLINE inline __attribute__((always_inline))

namespace clip {
namespace {

using Floats = float __attribute__((vector_size(CLIP_VECTOR_BYTES)));
using Ints = int32_t __attribute__((vector_size(CLIP_VECTOR_BYTES)));
using Words = uint32_t __attribute__((vector_size(CLIP_VECTOR_BYTES)));
using Halves = uint16_t __attribute__((vector_size(CLIP_VECTOR_BYTES / 2)));
using Bytes = uint8_t __attribute__((vector_size(CLIP_VECTOR_BYTES / 4)));
constexpr int64_t kLanes = CLIP_VECTOR_BYTES / 4;
static_assert(kLanes <= kMaxLanes);

CLIP_INLINE int64_t RoundedUp(int64_t n, int64_t to_multiple_of) {
  return (n + to_multiple_of - 1) / to_multiple_of * to_multiple_of;
}

// Elements from row to row.
CLIP_INLINE int64_t StrideOf(const RowsIn& rows, int64_t width) {
  return rows.stride == 0 ? width : rows.stride;
}

// work(i, n) for lanes i ... i + n - 1 of all [0, width): n is kLanes, as a
// constant, but for the last.
template <typename Work>
CLIP_INLINE void ForLanes(int64_t width, Work work) {
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) work(i, kLanes);
  if (i < width) work(i, width - i);
}

// Lanes from n on are zero.
template <typename Vector, typename T>
CLIP_INLINE Vector LoadLanes(const T* from, int64_t n) {
  Vector lanes = {};
  if (n == kLanes) {
    __builtin_memcpy(&lanes, from, sizeof(lanes));
  } else {
    __builtin_memcpy(&lanes, from, n * sizeof(T));
  }
  return lanes;
}
CLIP_INLINE Floats Load(const float* from, int64_t n) {
  return LoadLanes<Floats>(from, n);
}
// gcc 12 takes six instructions for __builtin_convertvector here, and warns of
// its own header in the form without a mask.
CLIP_INLINE Words Widen(const Halves& x) {
#if CLIP_VECTOR_BYTES == 64
  return (Words)_mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)x);
#elif CLIP_VECTOR_BYTES == 32
  return (Words)_mm256_cvtepu16_epi32((__m128i)x);
#else
  return __builtin_convertvector(x, Words);
#endif
}
CLIP_INLINE Floats Load(const uint16_t* bfloat16, int64_t n) {
  return (Floats)(Widen(LoadLanes<Halves>(bfloat16, n)) << 16);
}

// 2 * kLanes values, in an order that takes no moving of lanes: for bfloat16
// those at even places, then those at odd ones.
struct Pair {
  Floats first, second;
};
CLIP_INLINE Pair LoadPair(const float* from) {
  return {Load(from, kLanes), Load(from + kLanes, kLanes)};
}
CLIP_INLINE Pair LoadPair(const uint16_t* bfloat16) {
  Words words;
  __builtin_memcpy(&words, bfloat16, sizeof(words));
  return {(Floats)(words << 16), (Floats)(words & 0xffff0000u)};
}

// Lanes of both in turns.
template <int from, int... lane>
CLIP_INLINE Floats Interleaved(const Pair& x,
                               std::integer_sequence<int, lane...>) {
  return __builtin_shufflevector(
      x.first, x.second,
      ((from + lane) / 2 + (from + lane) % 2 * int{kLanes})...);
}
CLIP_INLINE Pair Interleaved(const Pair& x) {
  using AllLanes = std::make_integer_sequence<int, kLanes>;
  return {Interleaved<0>(x, AllLanes()),
          Interleaved<int{kLanes}>(x, AllLanes())};
}

// A pair as LoadPair reads T, in the usual order.
template <typename T>
CLIP_INLINE Pair InOrder(const Pair& x) {
  if constexpr (sizeof(T) == 4) {
    return x;
  } else {
    return Interleaved(x);
  }
}

// A square of registers, turned about its diagonal. Merging two halves' rows
// takes the highest bit of a row's number to the lowest of the lane's, and the
// other way round.
CLIP_INLINE void Transpose(Floats (&rows)[kLanes]) {
  constexpr int64_t kHalf = kLanes / 2;
  for (int64_t bits = 1; bits < kLanes; bits *= 2) {
    Floats merged[kLanes];
    for (int64_t i = 0; i < kHalf; ++i) {
      const Pair pair = Interleaved({rows[i], rows[i + kHalf]});
      merged[2 * i] = pair.first;
      merged[2 * i + 1] = pair.second;
    }
    for (int64_t i = 0; i < kLanes; ++i) rows[i] = merged[i];
  }
}

template <typename Vector, typename T>
CLIP_INLINE void StoreLanes(const Vector& lanes, T* to, int64_t n) {
  if (n == kLanes) {
    __builtin_memcpy(to, &lanes, sizeof(lanes));
  } else {
    __builtin_memcpy(to, &lanes, n * sizeof(T));
  }
}
CLIP_INLINE void Store(const Floats& x, float* to, int64_t n) {
  StoreLanes(x, to, n);
}
CLIP_INLINE void Store(const Floats& x, uint16_t* bfloat16, int64_t n) {
  // To the nearest, ties to even.
  const Words bits = (Words)x;
  const Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  StoreLanes(__builtin_convertvector(rounded, Halves), bfloat16, n);
}
CLIP_INLINE void Store(const Floats& x, uint8_t* to, int64_t n) {
  // Adding the half and cutting off rounds: the sum is positive.
  const Ints rounded = __builtin_convertvector(x + 128.5f, Ints);
  StoreLanes(__builtin_convertvector(rounded, Bytes), to, n);
}

// Lane i of the result is lane (i + by) % kLanes of x.
template <int by, int... lane>
CLIP_INLINE Floats Rotate(const Floats& x,
                          std::integer_sequence<int, lane...>) {
  return __builtin_shufflevector(x, x, (lane + by) % int{kLanes}...);
}

// All lanes combined, by halves.
template <int half = kLanes / 2, typename Combine>
CLIP_INLINE float Fold(const Floats& x, Combine combine) {
  if constexpr (half == 0) {
    return x[0];
  } else {
    using AllLanes = std::make_integer_sequence<int, kLanes>;
    return Fold<half / 2>(combine(x, Rotate<half>(x, AllLanes())), combine);
  }
}
CLIP_INLINE Floats Max(const Floats& a, const Floats& b) {
  return a > b ? a : b;
}
CLIP_INLINE float Total(const Floats& x) {
  return Fold(x, [](const Floats& a, const Floats& b) { return a + b; });
}
CLIP_INLINE float Largest(const Floats& x) {
  return Fold(x, [](const Floats& a, const Floats& b) { return Max(a, b); });
}

}  // namespace
}  // namespace clip

#endif  // ZEROSHOT_CLIP_KERNELS_VECTORS_H_
