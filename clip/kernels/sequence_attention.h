// Attention within sequences, for the files that are compiled once for each
// instruction set (see vectors.h).
#ifndef ZEROSHOT_CLIP_KERNELS_SEQUENCE_ATTENTION_H_
#define ZEROSHOT_CLIP_KERNELS_SEQUENCE_ATTENTION_H_

#include <cstdint>

#include "clip/kernels/exp.h"
#include "clip/kernels/tower_kernels.h"
#include "clip/kernels/vectors.h"

namespace clip {
namespace {

// The first place on a line of the cache.
CLIP_INLINE float* Aligned(float* scratch) {
  constexpr uintptr_t kLine = 64;
  return scratch +
         (-reinterpret_cast<uintptr_t>(scratch) % kLine) / sizeof(float);
}

// Sums [n, room], each row times its own `inverse`, to one head's part of rows
// of `width`.
template <typename Out>
CLIP_INLINE void WriteHead(const float* sums, int64_t room,
                           const float* inverse, int64_t n, int64_t head_width,
                           Out* out, int64_t width) {
  for (int64_t r = 0; r < n; ++r) {
    ForLanes(
        head_width, [&](int64_t i, int64_t lanes)
                        __attribute__((always_inline)) {
                          Store(Load(sums + r * room + i, kLanes) * inverse[r],
                                out + r * width + i, lanes);
                        });
  }
}

// For blocks [begin, end): pack(keys, stride, values, stride) of a sequence's
// head where it is another one than before, then attend(queries, stride, n,
// out) of each block's n queries. All are rows of that head's part.
template <typename In, typename Out, typename Pack, typename Attend>
CLIP_INLINE void ForBlocks(const SequenceAttention& a, int64_t width,
                           int64_t begin, int64_t end, Pack pack,
                           Attend attend) {
  constexpr int64_t kBlock = SequenceAttention::kBlock;
  const int64_t head_width = width / a.heads,
                of_head = (a.asking + kBlock - 1) / kBlock;
  int64_t packed = -1;  // the sequence's head that was packed last
  for (int64_t block = begin; block < end; ++block) {
    const int64_t head = block / of_head % a.heads * head_width,
                  sequence = block / of_head / a.heads,
                  first = sequence * a.asking + block % of_head * kBlock,
                  left = (sequence + 1) * a.asking - first,
                  n = left < kBlock ? left : kBlock;
    const auto part = [&](const RowsIn& rows, int64_t row)
        __attribute__((always_inline)) {
      return static_cast<const In*>(rows.data) + row * StrideOf(rows, width) +
             head;
    };
    if (packed != block / of_head) {
      packed = block / of_head;
      pack(part(a.keys, sequence * a.length), StrideOf(a.keys, width),
           part(a.values, sequence * a.length), StrideOf(a.values, width));
    }
    attend(part(a.queries, first), StrideOf(a.queries, width), n,
           static_cast<Out*>(a.out.data) + first * width + head);
  }
}

// c [rows, N registers] = a b, with a [rows, depth], b [depth, N registers].
// Elements of a are `row` apart from row to row and `next` within one, rows of
// b and c `stride` and `to` apart.
struct Left {
  const float* a;
  int64_t row, next;
};
template <int M, int N>
CLIP_INLINE void ProductOf(const Left& left, const float* b, int64_t stride,
                           int64_t depth, float* c, int64_t to) {
  Floats sums[M][N] = {};
  for (int64_t k = 0; k < depth; ++k) {
    Floats columns[N];
    for (int n = 0; n < N; ++n)
      columns[n] = Load(b + k * stride + n * kLanes, kLanes);
    for (int m = 0; m < M; ++m) {
      const float x = left.a[m * left.row + k * left.next];
      for (int n = 0; n < N; ++n) sums[m][n] += x * columns[n];
    }
  }
  for (int m = 0; m < M; ++m)
    for (int n = 0; n < N; ++n)
      Store(sums[m][n], c + m * to + n * kLanes, kLanes);
}

// The same for any number of rows: those of as many as stay in registers, then
// of what is left.
template <int M, int N>
CLIP_INLINE void ProductOfRows(Left left, int64_t rows, const float* b,
                               int64_t stride, int64_t depth, float* c,
                               int64_t to) {
  for (; rows >= M; rows -= M) {
    ProductOf<M, N>(left, b, stride, depth, c, to);
    left.a += M * left.row;
    c += M * to;
  }
  if constexpr (M > 1)
    ProductOfRows<M / 2, N>(left, rows, b, stride, depth, c, to);
}

// c [rows, columns] = a b for whole registers of columns.
void Product(const Left& left, int64_t rows, const float* b, int64_t stride,
             int64_t columns, int64_t depth, float* c, int64_t to) {
  constexpr int kRowsAtOnce = CLIP_VECTOR_BYTES == 64 ? 8 : 4;
  int64_t n = 0;
  for (; n + 2 * kLanes <= columns; n += 2 * kLanes)
    ProductOfRows<kRowsAtOnce, 2>(left, rows, b + n, stride, depth, c + n, to);
  if (n < columns)
    ProductOfRows<kRowsAtOnce, 1>(left, rows, b + n, stride, depth, c + n, to);
}

// Rows [n, width], `stride` apart, one after the other at `to`, with zeros up
// to `room`.
template <typename T>
CLIP_INLINE void Pack(const T* from, int64_t stride, int64_t n, int64_t width,
                      float* to, int64_t room) {
  for (int64_t r = 0; r < n; ++r) {
    ForLanes(
        width, [&](int64_t i, int64_t lanes) __attribute__((always_inline)) {
          Store(Load(from + r * stride + i, lanes), to + r * room + i, kLanes);
        });
  }
}

// The same as columns, times `scale`: to [room, columns].
template <typename T>
CLIP_INLINE void PackColumns(const T* from, int64_t stride, int64_t n,
                             int64_t width, float scale, float* to,
                             int64_t columns) {
  for (int64_t r = 0; r < columns; r += kLanes) {
    ForLanes(
        width, [&](int64_t i, int64_t lanes) __attribute__((always_inline)) {
          Floats square[kLanes];
          for (int64_t k = 0; k < kLanes; ++k) {
            square[k] = r + k < n
                            ? Load(from + (r + k) * stride + i, lanes) * scale
                            : Floats{};
          }
          Transpose(square);
          for (int64_t k = 0; k < kLanes; ++k)
            Store(square[k], to + (i + k) * columns + r, kLanes);
        });
  }
}

template <typename In, typename Out>
CLIP_INLINE void AttendBlocks(const SequenceAttention& a, int64_t width,
                              int64_t begin, int64_t end, float* scratch) {
  constexpr int64_t kBlock = SequenceAttention::kBlock;
  const int64_t head_width = width / a.heads,
                room = RoundedUp(head_width, kLanes);
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(head_width));
  float* keys = Aligned(scratch);
  float* values = keys + a.length * room;           // [length, room], like keys
  float* weights = values + a.length * room;        // [length, columns]
  float* in_columns = weights + a.length * kBlock;  // queries, [room, columns]
  float* sums = in_columns + room * kBlock;         // [columns, room]
  float* inverse = sums + room * kBlock;            // [columns]
  ForBlocks<In, Out>(
      a, width, begin, end,
      [&](const In* k, int64_t k_stride, const In* v, int64_t v_stride)
          __attribute__((always_inline)) {
            Pack(k, k_stride, a.length, head_width, keys, room);
            Pack(v, v_stride, a.length, head_width, values, room);
          },
      [&](const In* queries, int64_t stride, int64_t n,
          Out* out) __attribute__((always_inline)) {
        const int64_t columns = RoundedUp(n, kLanes);
        PackColumns(queries, stride, n, head_width, scale, in_columns, columns);
        Product({keys, room, 1}, a.length, in_columns, columns, columns,
                head_width, weights, columns);
        Softmax(weights, a.length, columns, inverse);
        Product({weights, 1, columns}, n, values, room, room, a.length, sums,
                room);
        WriteHead(sums, room, inverse, n, head_width, out, width);
      });
}

}  // namespace
}  // namespace clip

#endif  // ZEROSHOT_CLIP_KERNELS_SEQUENCE_ATTENTION_H_
