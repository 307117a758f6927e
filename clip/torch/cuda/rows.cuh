// What our kernels share on the device: rows read and written eight elements at
// a time (16 bytes of a 16-bit type), and sums over a warp.
//
// Most kernels give a row to a warp: its lanes take eight columns each, then
// the next 256. Shuffles name all 32 lanes, so loops around them turn equally
// often in each.
//
// The .cu files also compile as plain C++ and run on the CPU for tests
// (tests/testing/cuda_on_cpu/): a new intrinsic needs its stand-in there.
#ifndef ZEROSHOT_CLIP_TORCH_CUDA_ROWS_CUH_
#define ZEROSHOT_CLIP_TORCH_CUDA_ROWS_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

namespace clip {

constexpr unsigned kAllLanes = 0xffffffff;
constexpr int kWarp = 32;
constexpr int kThreads = 256;  // of a block
constexpr int kWarps = kThreads / kWarp;
constexpr int kEight = 8;                     // columns of a lane
constexpr int kWarpColumns = kWarp * kEight;  // columns of a warp at a time

struct Eight {
  float v[kEight];
};

// The same as they lie in memory: what a load brings, before it is needed.
template <typename T>
struct Raw {
  uint4 bits;
};
template <>
struct Raw<float> {
  float4 low, high;
};

// Eight elements at `p`. REQUIRES: p is 16-byte aligned.
template <typename T>
__device__ Raw<T> LoadRaw(const T* p) {
  return {*reinterpret_cast<const uint4*>(p)};
}
__device__ inline Raw<float> LoadRaw(const float* p) {
  return {reinterpret_cast<const float4*>(p)[0],
          reinterpret_cast<const float4*>(p)[1]};
}

__device__ inline float2 Widen(__half2 pair) { return __half22float2(pair); }
__device__ inline float2 Widen(__nv_bfloat162 pair) {
  return __bfloat1622float2(pair);
}

template <typename Pair>
__device__ Eight ExpandPairs(const uint4& bits) {
  Pair pairs[4];
  memcpy(pairs, &bits, sizeof(bits));
  Eight eight;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 pair = Widen(pairs[i]);
    eight.v[2 * i] = pair.x;
    eight.v[2 * i + 1] = pair.y;
  }
  return eight;
}
__device__ inline Eight Expand(const Raw<__half>& raw) {
  return ExpandPairs<__half2>(raw.bits);
}
__device__ inline Eight Expand(const Raw<__nv_bfloat16>& raw) {
  return ExpandPairs<__nv_bfloat162>(raw.bits);
}
__device__ inline Eight Expand(const Raw<float>& raw) {
  const float4 &a = raw.low, &b = raw.high;
  return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
}

template <typename T>
__device__ Eight Load(const T* p) {
  return Expand(LoadRaw(p));
}

// To the nearest of T.
template <typename T>
__device__ T Round(float x);
template <>
__device__ inline float Round<float>(float x) {
  return x;
}
template <>
__device__ inline __half Round<__half>(float x) {
  return __float2half_rn(x);
}
template <>
__device__ inline __nv_bfloat16 Round<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

__device__ inline void Store(const Eight& e, float* p) {
  reinterpret_cast<float4*>(p)[0] = {e.v[0], e.v[1], e.v[2], e.v[3]};
  reinterpret_cast<float4*>(p)[1] = {e.v[4], e.v[5], e.v[6], e.v[7]};
}

__device__ inline void Store(const Eight& e, __half* p) {
  __half2 pairs[4];
#pragma unroll
  for (int i = 0; i < 4; ++i)
    pairs[i] = __floats2half2_rn(e.v[2 * i], e.v[2 * i + 1]);
  uint4 raw;
  memcpy(&raw, pairs, sizeof(raw));
  *reinterpret_cast<uint4*>(p) = raw;
}

__device__ inline void Store(const Eight& e, __nv_bfloat16* p) {
  __nv_bfloat162 pairs[4];
#pragma unroll
  for (int i = 0; i < 4; ++i)
    pairs[i] = __floats2bfloat162_rn(e.v[2 * i], e.v[2 * i + 1]);
  uint4 raw;
  memcpy(&raw, pairs, sizeof(raw));
  *reinterpret_cast<uint4*>(p) = raw;
}

// Over the lanes of a warp, the result in each. All 32 must come here.
__device__ inline float WarpSum(float x) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2)
    x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

__device__ inline float WarpMax(float x) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2)
    x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, step));
  return x;
}

// Rows are dealt to the warps of the grid in turn, so that no grid is too
// large:
//   for (int64_t row = FirstRow(); row < rows; row += RowStep())
__device__ inline int64_t FirstRow() {
  return static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
}
__device__ inline int64_t RowStep() {
  return static_cast<int64_t>(gridDim.x) * kWarps;
}
__device__ inline int Lane() { return threadIdx.x % kWarp; }

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_CUDA_ROWS_CUH_
