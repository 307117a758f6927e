#include <cmath>
#include <cstdint>

#include "clip/torch/cuda/kernels.h"
#include "clip/torch/cuda/launch.cuh"
#include "clip/torch/cuda/rows.cuh"

namespace clip {
namespace {

// Threads of a block, which has neighbouring queries of one head: their
// ancestors are mostly the same rows, so all but the first find them in the
// SM's cache. 128 are 16 queries of a head of 64.
constexpr int kAttentionThreads = 128;

// Ancestors at a time: their loads are under way together, and they share one
// step of the online softmax.
constexpr int kAtOnce = 4;

struct Strided {
  const char* rows;
  uint32_t stride;  // bytes from one row to the next
};

// Eight elements of a row, from byte `column` on.
template <typename T>
__device__ Raw<T> LoadAt(Strided strided, uint32_t row, uint32_t column) {
  // 32 times 32 bits plus 64 are one instruction.
  return LoadRaw(reinterpret_cast<const T*>(
      strided.rows + (uint64_t{row} * strided.stride + column)));
}

struct Paths {
  Strided queries, keys, values;
  const int32_t *offsets, *ancestors;
  int64_t count;
  int head_dim;
  float scale;  // 1 / sqrt(head_dim), times log2(e): exp2 is the quicker exp
};

// A group of kLanes lanes has one query and head, eight columns a lane, and
// walks down its ancestors. The groups of a warp walk together, as far as the
// longest way: neighbours' lengths differ little, and the rows that they read
// at the same time are mostly the same one.
//
// No branch stands between the loads, so that all of a turn are under way at
// once: behind the end of its way a group reads its last ancestor again, at no
// weight, and lanes behind the head's columns read its last ones.
//
// Online softmax: `sum` and `mixed` are relative to 2^highest, and scaled when
// a higher score comes. The first turn has one; a query without ancestors
// computes nonsense and writes zeros.
template <typename T, int kLanes>
__global__ void __launch_bounds__(kAttentionThreads, sizeof(T) == 2 ? 6 : 4)
    TrieAttentionKernel(Paths paths, T* out) {
  constexpr int kQueries = kAttentionThreads / kLanes;  // of a block
  const int group_lane = threadIdx.x % kLanes;
  const bool has_columns = group_lane * kEight < paths.head_dim;
  const int column = blockIdx.x * paths.head_dim +
                     min(group_lane * kEight, paths.head_dim - kEight);
  const int column_bytes = column * sizeof(T);
  for (int64_t first = static_cast<int64_t>(blockIdx.y) * kQueries;
       first < paths.count;
       first += static_cast<int64_t>(gridDim.y) * kQueries) {
    const int64_t group = first + threadIdx.x / kLanes;
    const bool has_query = group < paths.count;
    const int query = static_cast<int>(has_query ? group : paths.count - 1);
    const int32_t begin = paths.offsets[query];
    const int length = has_query ? paths.offsets[query + 1] - begin : 0;
    int longest = length;
#pragma unroll
    for (int step = kWarp / 2; step >= kLanes; step /= 2)
      longest = max(longest, __shfl_xor_sync(kAllLanes, longest, step));

    Eight q = Expand(LoadAt<T>(paths.queries, query, column_bytes));
#pragma unroll
    for (float& v : q.v) v = has_columns ? v * paths.scale : 0;

    // A way without ancestors reads the first of all, for company.
    const int start = length == 0 ? 0 : begin;
    const int last = max(length - 1, 0);
    int next[kAtOnce];
    if (longest > 0) {
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u)
        next[u] = paths.ancestors[start + min(u, last)];
    }
    float highest = -INFINITY, sum = 0;
    Eight mixed = {};
    for (int j = 0; j < longest; j += kAtOnce) {
      Raw<T> keys[kAtOnce], values[kAtOnce];
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u)
        keys[u] = LoadAt<T>(paths.keys, next[u], column_bytes);
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u)
        values[u] = LoadAt<T>(paths.values, next[u], column_bytes);
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u)
        next[u] = paths.ancestors[start + min(j + kAtOnce + u, last)];

      float scores[kAtOnce], new_highest = highest;
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) {
        const Eight key = Expand(keys[u]);
        float dot = 0;
#pragma unroll
        for (int i = 0; i < kEight; ++i) dot += q.v[i] * key.v[i];
#pragma unroll
        for (int step = kLanes / 2; step > 0; step /= 2)
          dot += __shfl_xor_sync(kAllLanes, dot, step);
        scores[u] = j + u < length ? dot : -INFINITY;
        new_highest = fmaxf(new_highest, scores[u]);
      }
      const float rescale = exp2f(highest - new_highest);
      highest = new_highest;
      sum *= rescale;
#pragma unroll
      for (float& v : mixed.v) v *= rescale;
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) {
        const float weight = exp2f(scores[u] - new_highest);
        const Eight value = Expand(values[u]);
        sum += weight;
#pragma unroll
        for (int i = 0; i < kEight; ++i) mixed.v[i] += weight * value.v[i];
      }
    }
    if (has_query && has_columns) {
      const float share = __fdividef(1, sum);
#pragma unroll
      for (float& v : mixed.v) v = length == 0 ? 0 : v * share;
      Store(mixed, out + group * (gridDim.x * paths.head_dim) + column);
    }
  }
}

template <typename T, int kLanes>
cudaError_t LaunchAttention(const TrieAttentionCall& call,
                            cudaStream_t stream) {
  const auto strided = [](const void* rows, int64_t stride) {
    return Strided{static_cast<const char*>(rows),
                   static_cast<uint32_t>(stride * sizeof(T))};
  };
  const Paths paths = {
      strided(call.queries, call.query_stride),
      strided(call.keys, call.key_stride),
      strided(call.values, call.value_stride),
      call.offsets,
      call.ancestors,
      call.count,
      call.head_dim,
      static_cast<float>(1.4426950408889634 / std::sqrt(call.head_dim))};
  const dim3 blocks(call.heads, Blocks(call.count, kAttentionThreads / kLanes));
  return Launch(blocks, kAttentionThreads, stream,
                TrieAttentionKernel<T, kLanes>, paths,
                static_cast<T*>(call.out));
}

bool CanStride(int64_t stride) {
  return stride > 0 && stride % kEight == 0 && stride < (1 << 28);
}

}  // namespace

cudaError_t TrieAttention(const TrieAttentionCall& call, cudaStream_t stream) {
  // Offsets are 32-bit, so there are fewer queries than 2^31.
  if (call.count < 0 || call.count > INT32_MAX || call.heads <= 0 ||
      call.head_dim <= 0 || call.head_dim % kEight != 0 ||
      call.head_dim > 128 || !CanStride(call.query_stride) ||
      !CanStride(call.key_stride) || !CanStride(call.value_stride) ||
      !AllAligned(call.queries, call.keys, call.values, call.out))
    return cudaErrorInvalidValue;
  if (call.count == 0) return cudaSuccess;
  return WithType(call.type, [&]<typename T>() {
    if (call.head_dim <= 32) return LaunchAttention<T, 4>(call, stream);
    if (call.head_dim <= 64) return LaunchAttention<T, 8>(call, stream);
    return LaunchAttention<T, 16>(call, stream);
  });
}

}  // namespace clip
