// Compiled once for each instruction set, with CLIP_ISA its name. As in
// tower_kernels_isa.cc nothing here may have linkage that another file could
// share, so nothing of the standard library's is called.
#include "clip/kernels/exp.h"
#include "clip/kernels/vectors.h"
#include "clip/score_kernels.h"

namespace clip::CLIP_ISA {
namespace {

// Rows that stay in the nearest cache while all xs meet them.
constexpr int64_t kBlockRows = 8;

// Rows that meet 4 xs at once: their sums fill half of the registers, of which
// AVX-512 has 32 and the others 16.
constexpr int kTileRows = kLanes == 16 ? 4 : 2;

// One register of sums a pair, so that the order of additions does not depend
// on what else is in the tile.
template <int kRows, int kXs>
CLIP_INLINE void Tile(const float* rows, int64_t dim, const float* const* xs,
                      int64_t row, float* const* products) {
  Floats sums[kRows][kXs] = {};
  ForLanes(
      dim, [&](int64_t d, int64_t lanes) __attribute__((always_inline)) {
        Floats loaded[kRows];
        for (int r = 0; r < kRows; ++r) {
          loaded[r] = Load(rows + (row + r) * dim + d, lanes);
        }
        for (int x = 0; x < kXs; ++x) {
          const Floats at = Load(xs[x] + d, lanes);
          for (int r = 0; r < kRows; ++r) sums[r][x] += loaded[r] * at;
        }
      });
  for (int r = 0; r < kRows; ++r) {
    for (int x = 0; x < kXs; ++x) products[x][row + r] = Total(sums[r][x]);
  }
}

// Some xs against the rows from `row` to `end`.
template <int kRows, int kXs>
CLIP_INLINE void Strip(const float* rows, int64_t dim, const float* const* xs,
                       int64_t row, int64_t end, float* const* products) {
  for (; row + kRows <= end; row += kRows) {
    Tile<kRows, kXs>(rows, dim, xs, row, products);
  }
  for (; row < end; ++row) Tile<1, kXs>(rows, dim, xs, row, products);
}

void DotProducts(const float* rows, int64_t num_rows, int64_t dim,
                 const float* const* xs, int64_t n, float* const* products) {
  for (int64_t row = 0; row < num_rows; row += kBlockRows) {
    const int64_t end =
        row + kBlockRows < num_rows ? row + kBlockRows : num_rows;
    int64_t x = 0;
    for (; x + 4 <= n; x += 4) {
      Strip<kTileRows, 4>(rows, dim, xs + x, row, end, products + x);
    }
    for (; x < n; ++x) {
      Strip<4, 1>(rows, dim, xs + x, row, end, products + x);
    }
  }
}

double SumOfExps(const float* x, int64_t n, float max) {
  // Of so many a float's sum is still right in its last places.
  constexpr int64_t kTogether = 64 * kLanes;
  double sum = 0;
  for (int64_t from = 0; from < n; from += kTogether) {
    const int64_t count = n - from < kTogether ? n - from : kTogether;
    Floats sums = {};
    ForLanes(
        count, [&](int64_t i, int64_t lanes) __attribute__((always_inline)) {
          const Floats exps = Exp(Load(x + from + i, lanes) - max);
          if (lanes == kLanes) {
            sums += exps;
          } else {
            for (int64_t lane = 0; lane < lanes; ++lane)
              sums[lane] += exps[lane];
          }
        });
    sum += Total(sums);
  }
  return sum;
}

#define CLIP_TEXT(name) #name
#define CLIP_NAME(name) CLIP_TEXT(name)

}  // namespace

extern const ScoreKernels kScoreKernels;
const ScoreKernels kScoreKernels = {CLIP_NAME(CLIP_ISA), &DotProducts,
                                    &SumOfExps};

}  // namespace clip::CLIP_ISA
