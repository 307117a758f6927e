// Compiled once for each instruction set, with CLIP_ISA its name. As in
// tower_kernels_isa.cc nothing here may have linkage that another file could
// share, so nothing of the standard library's is called.
//
// Vectors are the compiler's own (GCC's and Clang's vector extensions), which
// name no instruction; only widening and narrowing need intrinsics.
#include "clip/kernels/resize_kernels.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define CLIP_INLINE inline __attribute__((always_inline))

namespace clip::CLIP_ISA {
namespace {

constexpr int kRows = ResizeKernels::kRows;
constexpr int kWeightBits = ResizeKernels::kWeightBits;
constexpr int32_t kHalf = 1 << (kWeightBits - 1);

// A column of samples as 32-bit integers, and sums back to samples: clamped, as
// packing saturates.
#if defined(__AVX512F__)
constexpr int kLanes = 16;
using Sums = int32_t __attribute__((vector_size(64)));
// The forms with a mask, all of it set: GCC 12 warns of the others.
CLIP_INLINE Sums LoadSamples(const uint8_t* from) {
  return (Sums)_mm512_maskz_cvtepu8_epi32(
      0xffff, _mm_loadu_si128((const __m128i*)from));
}
CLIP_INLINE void StoreSamples(Sums sums, uint8_t* to) {
  const __m512i positive = _mm512_maskz_max_epi32(
      0xffff, (__m512i)(sums >> kWeightBits), _mm512_setzero_si512());
  _mm_storeu_si128((__m128i*)to,
                   _mm512_maskz_cvtusepi32_epi8(0xffff, positive));
}
#elif defined(__AVX2__)
constexpr int kLanes = 8;
using Sums = int32_t __attribute__((vector_size(32)));
CLIP_INLINE Sums LoadSamples(const uint8_t* from) {
  return (Sums)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)from));
}
CLIP_INLINE void StoreSamples(Sums sums, uint8_t* to) {
  const __m256i shifted = (__m256i)(sums >> kWeightBits);
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(shifted),
                                        _mm256_extracti128_si256(shifted, 1));
  _mm_storel_epi64((__m128i*)to, _mm_packus_epi16(words, words));
}
#elif defined(__SSE2__)
constexpr int kLanes = 4;
using Sums = int32_t __attribute__((vector_size(16)));
CLIP_INLINE Sums LoadSamples(const uint8_t* from) {
  int32_t four;
  __builtin_memcpy(&four, from, sizeof(four));
  const __m128i zero = _mm_setzero_si128();
  const __m128i words = _mm_unpacklo_epi8(_mm_cvtsi32_si128(four), zero);
  return (Sums)_mm_unpacklo_epi16(words, zero);
}
CLIP_INLINE void StoreSamples(Sums sums, uint8_t* to) {
  const __m128i shifted = (__m128i)(sums >> kWeightBits);
  const __m128i words = _mm_packs_epi32(shifted, shifted);
  const int32_t four = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
  __builtin_memcpy(to, &four, sizeof(four));
}
#else
constexpr int kLanes = 4;
using Sums = int32_t __attribute__((vector_size(16)));
CLIP_INLINE Sums LoadSamples(const uint8_t* from) {
  return Sums{from[0], from[1], from[2], from[3]};
}
CLIP_INLINE void StoreSamples(Sums sums, uint8_t* to) {
  sums >>= kWeightBits;
  for (int i = 0; i < 4; ++i) {
    const int32_t sample = sums[i] < 0 ? 0 : sums[i];
    to[i] = static_cast<uint8_t>(sample > 255 ? 255 : sample);
  }
}
#endif
static_assert(kRows % kLanes == 0);

CLIP_INLINE Sums Splat(int32_t value) { return value - Sums{}; }

using Bytes = uint8_t __attribute__((vector_size(16)));

CLIP_INLINE Bytes Load(const uint8_t* from) {
  Bytes bytes;
  __builtin_memcpy(&bytes, from, sizeof(bytes));
  return bytes;
}
CLIP_INLINE void Store(Bytes bytes, uint8_t* to) {
  __builtin_memcpy(to, &bytes, sizeof(bytes));
}

CLIP_INLINE Bytes ZipLow(Bytes a, Bytes b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21,
                                 6, 22, 7, 23);
}
CLIP_INLINE Bytes ZipHigh(Bytes a, Bytes b) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13,
                                 29, 14, 30, 15, 31);
}

// A 16 x 16 transposition: four perfect shuffles of the rows. Each moves one
// bit of a byte's row number to its column number.
CLIP_INLINE void Shuffle(const Bytes (&in)[16], Bytes (&out)[16]) {
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    out[2 * i] = ZipLow(in[i], in[i + 8]);
    out[2 * i + 1] = ZipHigh(in[i], in[i + 8]);
  }
}
CLIP_INLINE void Transpose(Bytes (&block)[16]) {
  Bytes other[16];
  Shuffle(block, other);
  Shuffle(other, block);
  Shuffle(block, other);
  Shuffle(other, block);
}

void RowsToTile(const uint8_t* const* rows, int64_t length, uint8_t* tile) {
  if (length < 16) {
    for (int64_t i = 0; i < length; ++i) {
      for (int r = 0; r < kRows; ++r) tile[i * kRows + r] = rows[r][i];
    }
    return;
  }
  for (int64_t at = 0; at < length; at += 16) {
    // The last block overlaps the one before it.
    const int64_t i = at + 16 <= length ? at : length - 16;
    Bytes block[16];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) block[r] = Load(rows[r] + i);
    Transpose(block);
#pragma GCC unroll 16
    for (int r = 0; r < 16; ++r) Store(block[r], tile + (i + r) * kRows);
  }
}

void TileToRows(const uint8_t* tile, int64_t length, uint8_t* const* rows) {
  if (length < 16) {
    for (int64_t i = 0; i < length; ++i) {
      for (int r = 0; r < kRows; ++r) rows[r][i] = tile[i * kRows + r];
    }
    return;
  }
  for (int64_t at = 0; at < length; at += 16) {
    const int64_t i = at + 16 <= length ? at : length - 16;
    Bytes block[16];
#pragma GCC unroll 16
    for (int r = 0; r < 16; ++r) block[r] = Load(tile + (i + r) * kRows);
    Transpose(block);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) Store(block[r], rows[r] + i);
  }
}

template <int kChannels>
CLIP_INLINE void Resample(const uint8_t* __restrict tile,
                          const ResizeWindow* windows, int64_t count,
                          uint8_t* __restrict out) {
  constexpr int kPixel = kChannels * kRows;
  for (int64_t i = 0; i < count; ++i) {
    const ResizeWindow window = windows[i];
    for (int lane = 0; lane < kRows; lane += kLanes) {
      const uint8_t* pixel = tile + int64_t{window.begin} * kPixel + lane;
      Sums sums[kChannels];
      for (int c = 0; c < kChannels; ++c) sums[c] = Splat(kHalf);
      for (int x = 0; x < window.size; ++x) {
        const Sums weight = Splat(window.weights[x]);
        for (int c = 0; c < kChannels; ++c) {
          sums[c] += weight * LoadSamples(pixel + c * kRows);
        }
        pixel += kPixel;
      }
      for (int c = 0; c < kChannels; ++c) {
        StoreSamples(sums[c], out + i * kPixel + c * kRows + lane);
      }
    }
  }
}

void ResampleColumns(const uint8_t* tile, int channels,
                     const ResizeWindow* windows, int64_t count, uint8_t* out) {
  switch (channels) {
    case 1:
      return Resample<1>(tile, windows, count, out);
    case 2:
      return Resample<2>(tile, windows, count, out);
    case 3:
      return Resample<3>(tile, windows, count, out);
    default:
      return Resample<4>(tile, windows, count, out);
  }
}

void AddRow(const uint8_t* __restrict row, int64_t length, int32_t weight,
            bool first, int32_t* __restrict sums) {
  if (first) {
    for (int64_t i = 0; i < length; ++i) sums[i] = kHalf + row[i] * weight;
  } else {
    for (int64_t i = 0; i < length; ++i) sums[i] += row[i] * weight;
  }
}

void RoundRow(const int32_t* __restrict sums, int64_t length,
              uint8_t* __restrict out) {
  for (int64_t i = 0; i < length; ++i) {
    int32_t sample = sums[i] >> kWeightBits;
    sample = sample < 0 ? 0 : sample;
    sample = sample > 255 ? 255 : sample;
    out[i] = static_cast<uint8_t>(sample);
  }
}

#define CLIP_NAME_(name) #name
#define CLIP_NAME(name) CLIP_NAME_(name)

}  // namespace

extern const ResizeKernels kResizeKernels;
const ResizeKernels kResizeKernels = {
    CLIP_NAME(CLIP_ISA), RowsToTile, TileToRows,
    ResampleColumns,     AddRow,     RoundRow};

}  // namespace clip::CLIP_ISA
