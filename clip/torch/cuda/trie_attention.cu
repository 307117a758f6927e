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

template <typename T>
struct Rows {
  const T *queries, *keys, *values;
  int64_t query_stride, key_stride, value_stride;
  const int32_t *offsets, *ancestors;
  int64_t count;
  int head_dim;
  float scale;  // 1 / sqrt(head_dim), times log2(e): exp2 is the quicker exp
  T* out;
};

// A group of kLanes lanes has one query and head, eight columns a lane, and
// walks down its ancestors. The groups of a warp walk together, as far as the
// longest way: neighbours' lengths differ little, and the rows that they read
// at the same time are mostly the same one.
//
// Online softmax: `sum` and `mixed` are relative to 2^highest, and scaled when
// a higher score comes.
template <typename T, int kLanes>
__global__ void __launch_bounds__(kAttentionThreads)
    TrieAttentionKernel(Rows<T> rows) {
  constexpr int kQueries = kAttentionThreads / kLanes;  // of a block
  const int column = blockIdx.x * rows.head_dim + threadIdx.x % kLanes * kEight;
  const bool has_columns =
      static_cast<int>(threadIdx.x % kLanes * kEight) < rows.head_dim;
  for (int64_t first = static_cast<int64_t>(blockIdx.y) * kQueries;
       first < rows.count;
       first += static_cast<int64_t>(gridDim.y) * kQueries) {
    const int64_t query = first + threadIdx.x / kLanes;
    int length = 0;
    const int32_t* ancestors = rows.ancestors;
    Eight q = {};
    if (query < rows.count) {
      const int32_t begin = rows.offsets[query];
      length = rows.offsets[query + 1] - begin;
      ancestors += begin;
      if (has_columns) {
        q = Load(rows.queries + query * rows.query_stride + column);
#pragma unroll
        for (float& v : q.v) v *= rows.scale;
      }
    }
    int longest = length;
#pragma unroll
    for (int step = kWarp / 2; step >= kLanes; step /= 2)
      longest = max(longest, __shfl_xor_sync(kAllLanes, longest, step));

    float highest = -INFINITY, sum = 0;
    Eight mixed = {};
    for (int j = 0; j < longest; j += kAtOnce) {
      Eight keys[kAtOnce] = {}, values[kAtOnce] = {};
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) {
        if (j + u < length && has_columns) {
          const int64_t row = ancestors[j + u];
          keys[u] = Load(rows.keys + row * rows.key_stride + column);
          values[u] = Load(rows.values + row * rows.value_stride + column);
        }
      }
      float scores[kAtOnce], new_highest = highest;
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) {
        float dot = 0;
#pragma unroll
        for (int i = 0; i < kEight; ++i) dot += q.v[i] * keys[u].v[i];
#pragma unroll
        for (int step = kLanes / 2; step > 0; step /= 2)
          dot += __shfl_xor_sync(kAllLanes, dot, step);
        scores[u] = j + u < length ? dot : -INFINITY;
        new_highest = fmaxf(new_highest, scores[u]);
      }
      // Nothing scored yet: any finite number will do, -inf - -inf would not.
      const float base = new_highest == -INFINITY ? 0 : new_highest;
      const float rescale = exp2f(highest - base);
      highest = new_highest;
      sum *= rescale;
#pragma unroll
      for (float& v : mixed.v) v *= rescale;
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) {
        const float weight = exp2f(scores[u] - base);
        sum += weight;
#pragma unroll
        for (int i = 0; i < kEight; ++i) mixed.v[i] += weight * values[u].v[i];
      }
    }
    if (query < rows.count && has_columns) {
      const float share = sum == 0 ? 0 : 1 / sum;
#pragma unroll
      for (float& v : mixed.v) v *= share;
      Store(mixed, rows.out + query * gridDim.x * rows.head_dim + column);
    }
  }
}

template <typename T, int kLanes>
cudaError_t LaunchAttention(const TrieAttentionCall& call,
                            cudaStream_t stream) {
  constexpr int kQueries = kAttentionThreads / kLanes;
  const Rows<T> rows = {
      static_cast<const T*>(call.queries),
      static_cast<const T*>(call.keys),
      static_cast<const T*>(call.values),
      call.query_stride,
      call.key_stride,
      call.value_stride,
      call.offsets,
      call.ancestors,
      call.count,
      call.head_dim,
      static_cast<float>(1.4426950408889634 / std::sqrt(call.head_dim)),
      static_cast<T*>(call.out)};
  const dim3 blocks(call.heads, Blocks(call.count, kQueries));
  return Launch(blocks, kAttentionThreads, stream,
                TrieAttentionKernel<T, kLanes>, rows);
}

}  // namespace

cudaError_t TrieAttention(const TrieAttentionCall& call, cudaStream_t stream) {
  if (call.heads <= 0 || call.head_dim <= 0 || call.head_dim % kEight != 0 ||
      call.head_dim > 128 || call.query_stride % kEight != 0 ||
      call.key_stride % kEight != 0 || call.value_stride % kEight != 0 ||
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
