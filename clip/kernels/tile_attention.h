// Attention within sequences of bfloat16 rows, with AMX's tiles: 16 x 16 sums
// of 32 products each at once. For the build of tower_kernels_isa.cc that has
// them (see vectors.h).
//
// Thread rule: a thread sets its tiles up (Tiles) before it uses them.
#ifndef ZEROSHOT_CLIP_KERNELS_TILE_ATTENTION_H_
#define ZEROSHOT_CLIP_KERNELS_TILE_ATTENTION_H_

#include <immintrin.h>

#include <cstdint>

#include "clip/kernels/exp.h"
#include "clip/kernels/sequence_attention.h"
#include "clip/kernels/tower_kernels.h"
#include "clip/kernels/vectors.h"

namespace clip {
namespace {

// Rows of a tile; 32-bit columns of one; bfloat16 values of a row.
constexpr int64_t kTile = 16, kTileDepth = 2 * kTile;

// All eight tiles as large as they can be, while it lives.
class Tiles {
 public:
  Tiles() {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {};
      uint8_t rows[16] = {};
    } config;
    for (int tile = 0; tile < 8; ++tile) {
      config.row_bytes[tile] = 64;
      config.rows[tile] = kTile;
    }
    _tile_loadconfig(&config);
  }
  ~Tiles() { _tile_release(); }
};

// c [rows, columns] = a b. Rows of a [rows, depth] are bfloat16; a row of b
// [depth / 2, columns] has two of b's rows, a value of each in turns. Strides
// are in elements. REQUIRES: rows is 16 or 32, and 32 divides columns and
// depth.
CLIP_INLINE void TileProduct(const uint16_t* a, int64_t a_stride, int64_t rows,
                             const uint32_t* b, int64_t columns, int64_t depth,
                             float* c) {
  for (int64_t j = 0; j < columns; j += 2 * kTile) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t k = 0; k < depth; k += kTileDepth) {
      const uint32_t* pairs = b + k / 2 * columns + j;
      _tile_loadd(4, a + k, 2 * a_stride);
      _tile_loadd(6, pairs, 4 * columns);
      _tile_loadd(7, pairs + kTile, 4 * columns);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      if (rows > kTile) {
        _tile_loadd(5, a + kTile * a_stride + k, 2 * a_stride);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
    }
    _tile_stored(0, c + j, 4 * columns);
    _tile_stored(1, c + j + kTile, 4 * columns);
    if (rows > kTile) {
      _tile_stored(2, c + kTile * columns + j, 4 * columns);
      _tile_stored(3, c + kTile * columns + j + kTile, 4 * columns);
    }
  }
}

// Rows [n, width] of bfloat16, `stride` apart, to [rows, room] with zeros.
CLIP_INLINE void PackRows(const uint16_t* from, int64_t stride, int64_t n,
                          int64_t width, uint16_t* to, int64_t rows,
                          int64_t room) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < room; i += kLanes) {
      Halves lanes = {};
      const int64_t left = width - i < kLanes ? width - i : kLanes;
      if (r < n && left > 0)
        lanes = LoadLanes<Halves>(from + r * stride + i, left);
      StoreLanes(lanes, to + r * room + i, kLanes);
    }
  }
}

// Rows [n, width] to [room / 2, columns]: column r has row r, two values a
// place. REQUIRES: width is even.
CLIP_INLINE void PackPairsOfColumns(const uint16_t* from, int64_t stride,
                                    int64_t n, int64_t width, uint32_t* to,
                                    int64_t columns, int64_t room) {
  for (int64_t r = 0; r < columns; r += kLanes) {
    for (int64_t i = 0; i < room / 2; i += kLanes) {
      Floats square[kLanes] = {};
      const int64_t left = width / 2 - i < kLanes ? width / 2 - i : kLanes;
      for (int64_t k = 0; k < kLanes && r + k < n && left > 0; ++k) {
        square[k] = LoadLanes<Floats>(
            reinterpret_cast<const uint32_t*>(from + (r + k) * stride) + i,
            left);
      }
      Transpose(square);
      for (int64_t k = 0; k < kLanes; ++k)
        StoreLanes(square[k], to + (i + k) * columns + r, kLanes);
    }
  }
}

// Rows [n, width] to [rows / 2, room]: two rows are one, a value of each in
// turns.
CLIP_INLINE void PackPairsOfRows(const uint16_t* from, int64_t stride,
                                 int64_t n, int64_t width, uint32_t* to,
                                 int64_t rows, int64_t room) {
  for (int64_t r = 0; r < rows; r += 2) {
    for (int64_t i = 0; i < room; i += kLanes) {
      Words pair[2] = {};
      const int64_t left = width - i < kLanes ? width - i : kLanes;
      for (int64_t k = 0; k < 2 && r + k < n && left > 0; ++k) {
        pair[k] = Widen(LoadLanes<Halves>(from + (r + k) * stride + i, left));
      }
      StoreLanes(pair[0] | (pair[1] << 16), to + r / 2 * room + i, kLanes);
    }
  }
}

// 2^x for x up to 0, within 3e-6 of it: far less than bfloat16 rounds away.
CLIP_INLINE Floats PowerOfTwo(const Floats& x) {
  const Floats fraction =
      (Floats)_mm512_maskz_reduce_ps(0xffff, (__m512)x, _MM_FROUND_TO_NEG_INF);
  Floats y = fraction * 0.0135341678f + 0.0520114638f;
  y = y * fraction + 0.241442755f;
  y = y * fraction + 0.693003833f;
  y = y * fraction + 1.00000262f;
  return (Floats)_mm512_maskz_scalef_ps(0xffff, (__m512)y,
                                        (__m512)x);  // by 2^floor(x)
}

// Scores [rows, room] times `scale` to weights as bfloat16, and what to
// multiply a row's with so that they sum to 1. A row has `length` scores; what
// is behind them gets no weight.
CLIP_INLINE void SoftmaxOfRows(float* scores, int64_t rows, int64_t length,
                               int64_t room, float scale, uint16_t* weights,
                               float* inverse) {
  const float to_power = scale * 1.44269504088896341f;
  for (int64_t r = 0; r < rows; ++r) {
    float* row = scores + r * room;
    for (int64_t i = length; i < room; ++i) row[i] = -1e30f;
    Floats largest = Load(row, kLanes), total = {};
    for (int64_t i = kLanes; i < room; i += kLanes)
      largest = Max(largest, Load(row + i, kLanes));
    const float most = Largest(largest);
    for (int64_t i = 0; i < room; i += 2 * kLanes) {
      const Floats first =
          PowerOfTwo((Load(row + i, kLanes) - most) * to_power);
      const Floats second =
          PowerOfTwo((Load(row + i + kLanes, kLanes) - most) * to_power);
      total += first + second;
      const __m512bh halves =
          _mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
      __builtin_memcpy(weights + r * room + i, &halves, sizeof(halves));
    }
    inverse[r] = 1.0f / Total(total);
  }
}

template <typename Out>
CLIP_INLINE void AttendTiles(const SequenceAttention& a, int64_t width,
                             int64_t begin, int64_t end, float* scratch) {
  constexpr int64_t kBlock = SequenceAttention::kBlock;
  static_assert(kBlock == 2 * kTile);
  const int64_t head_width = width / a.heads,
                room = RoundedUp(head_width, kTileDepth),
                length = RoundedUp(a.length, kTileDepth);
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(head_width));
  uint32_t* keys = reinterpret_cast<uint32_t*>(Aligned(scratch));
  uint32_t* values = keys + room / 2 * length;  // [length / 2, room]
  float* scores = reinterpret_cast<float*>(values + length / 2 * room);
  float* sums = scores + kBlock * length;  // [kBlock, room]
  float* inverse = sums + kBlock * room;   // [kBlock]
  uint16_t* weights = reinterpret_cast<uint16_t*>(inverse + kBlock);
  uint16_t* in_tiles = weights + kBlock * length;  // queries, [kBlock, room]
  const Tiles tiles;
  ForBlocks<uint16_t, Out>(
      a, width, begin, end,
      [&](const uint16_t* k, int64_t k_stride, const uint16_t* v,
          int64_t v_stride) __attribute__((always_inline)) {
        PackPairsOfColumns(k, k_stride, a.length, head_width, keys, length,
                           room);
        PackPairsOfRows(v, v_stride, a.length, head_width, values, length,
                        room);
      },
      [&](const uint16_t* queries, int64_t stride, int64_t n, Out* out)
          __attribute__((always_inline)) {
            const int64_t rows = RoundedUp(n, kTile);
            PackRows(queries, stride, n, head_width, in_tiles, rows, room);
            TileProduct(in_tiles, room, rows, keys, length, room, scores);
            SoftmaxOfRows(scores, n, a.length, length, scale, weights, inverse);
            TileProduct(weights, length, rows, values, room, length, sums);
            WriteHead(sums, room, inverse, n, head_width, out, width);
          });
}

}  // namespace
}  // namespace clip

#endif  // ZEROSHOT_CLIP_KERNELS_TILE_ATTENTION_H_
