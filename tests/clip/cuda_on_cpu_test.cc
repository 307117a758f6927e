// What the stand-ins for CUDA's headers promise to the kernels that run on
// them.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace {

cudaError_t Launch(dim3 blocks, dim3 threads, void (*kernel)(int*), int* out) {
  cudaLaunchConfig_t config = {};
  config.gridDim = blocks;
  config.blockDim = threads;
  return cudaLaunchKernelEx(&config, kernel, out);
}

void CountThreads(int* out) {
  const int block =
      (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const int thread =
      (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  ++out[block * (blockDim.x * blockDim.y * blockDim.z) + thread];
}

TEST(CudaOnCpuTest, EveryThreadOfEveryBlockRunsOnce) {
  std::vector<int> seen(2 * 3 * 4 * 128);
  ASSERT_EQ(Launch({2, 3, 4}, {16, 4, 2}, CountThreads, seen.data()),
            cudaSuccess);
  EXPECT_EQ(seen, std::vector<int>(seen.size(), 1));
}

void SumLanes(int* out) {
  int x = threadIdx.x;
  for (int step = 1; step < 32; step *= 2)
    x += __shfl_xor_sync(0xffffffff, x, step);
  out[threadIdx.x] = x;
}

TEST(CudaOnCpuTest, LanesExchangeWithinTheirWarp) {
  std::vector<int> sums(64);
  ASSERT_EQ(Launch(1, 64, SumLanes, sums.data()), cudaSuccess);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(sums[i], i < 32 ? 496 : 496 + 1024);
}

void LeaveSomeWaiting(int* out) {
  if (threadIdx.x < 3) return;
  *out = __shfl_xor_sync(0xffffffff, 1, 1);
}
void WaitAtTwoPlaces(int* out) {
  if (threadIdx.x < 3) {
    *out = __shfl_xor_sync(0xffffffff, 1, 1);
  } else {
    *out = __shfl_xor_sync(0xffffffff, 2, 1);
  }
}
void WaitOnceMore(int* out) {
  for (int i = 0; i < 2 + (threadIdx.x == 7); ++i)
    *out = __shfl_xor_sync(0xffffffff, 1, 1);
}

TEST(CudaOnCpuDeathTest, LanesThatPartAroundAShuffleAreSeen) {
  int out = 0;
  EXPECT_DEATH(static_cast<void>(Launch(1, 32, LeaveSomeWaiting, &out)),
               "some lanes returned");
  EXPECT_DEATH(static_cast<void>(Launch(1, 32, WaitAtTwoPlaces, &out)),
               "another shuffle");
  EXPECT_DEATH(static_cast<void>(Launch(1, 32, WaitOnceMore, &out)),
               "some lanes returned");
}

TEST(CudaOnCpuTest, RefusesWhatTheDeviceRefuses) {
  int out = 0;
  EXPECT_EQ(Launch(0, 32, SumLanes, &out), cudaErrorInvalidConfiguration);
  EXPECT_EQ(Launch({1, 65536}, 32, SumLanes, &out),
            cudaErrorInvalidConfiguration);
  EXPECT_EQ(Launch(1, 1056, SumLanes, &out), cudaErrorInvalidConfiguration);
}

TEST(CudaOnCpuTest, HalvesAreIeeeAndRoundToTheNearestTiesToEven) {
  for (int bits = 0; bits < 0x7c00; ++bits) {  // all that are finite, positive
    const __half half = {static_cast<uint16_t>(bits)};
    const __half next = {static_cast<uint16_t>(bits + 1)};
    const float value = __half2float(half);
    EXPECT_EQ(__float2half_rn(value).bits, bits);
    EXPECT_EQ(__float2half_rn(-value).bits, bits | 0x8000);
    if (next.bits == 0x7c00) break;
    const float middle = (value + __half2float(next)) / 2;
    EXPECT_EQ(__float2half_rn(middle).bits, bits % 2 == 0 ? bits : bits + 1);
    EXPECT_EQ(__float2half_rn(std::nextafter(middle, 0.f)).bits, bits);
  }
  EXPECT_EQ(__half2float({0x3c00}), 1);
  EXPECT_EQ(__half2float({0x0001}), 0x1p-24f);
  EXPECT_EQ(__half2float({0x7bff}), 65504);
  EXPECT_EQ(__half2float({0x7c00}), INFINITY);
  EXPECT_EQ(__float2half_rn(65519).bits, 0x7bff);
  EXPECT_EQ(__float2half_rn(65520).bits, 0x7c00);
  EXPECT_EQ(__float2half_rn(-1e30f).bits, 0xfc00);
  EXPECT_TRUE(std::isnan(__half2float(__float2half_rn(NAN))));
}

TEST(CudaOnCpuTest, BFloat16sRoundToTheNearestTiesToEven) {
  EXPECT_EQ(__float2bfloat16_rn(1).bits, 0x3f80);
  EXPECT_EQ(__float2bfloat16_rn(1 + 0x1p-8f).bits, 0x3f80);
  EXPECT_EQ(__float2bfloat16_rn(1 + 0x1.1p-8f).bits, 0x3f81);
  EXPECT_EQ(__float2bfloat16_rn(1 + 3 * 0x1p-8f).bits, 0x3f82);
  EXPECT_EQ(__float2bfloat16_rn(-2.5f).bits, 0xc020);
  EXPECT_EQ(__float2bfloat16_rn(INFINITY).bits, 0x7f80);
  EXPECT_EQ(__float2bfloat16_rn(3.4e38f).bits, 0x7f80);
  EXPECT_TRUE(std::isnan(__bfloat162float(__float2bfloat16_rn(NAN))));
  EXPECT_EQ(__bfloat162float({0xc020}), -2.5f);
}

}  // namespace
