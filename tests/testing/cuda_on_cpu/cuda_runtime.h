// A stand-in for CUDA's header of this name: the language's own words, the
// launch, and warps. See cuda_runtime_api.h.
//
// A launch runs its blocks one after the other, and their warps likewise. The
// 32 lanes of a warp are fibers: each runs until it comes to a shuffle, waits
// there for the others, and the process aborts with a message if one of them
// has come to another shuffle, or returned, which on a GPU would be undefined.
// Kernels that need shared memory or __syncthreads need more than this.
#ifndef ZEROSHOT_TESTS_TESTING_CUDA_ON_CPU_CUDA_RUNTIME_H_
#define ZEROSHOT_TESTS_TESTING_CUDA_ON_CPU_CUDA_RUNTIME_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#include "cuda_runtime_api.h"

#define __device__
#define __global__
#define __launch_bounds__(...)

struct dim3 {
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  unsigned x, y, z;
};
struct float2 {
  float x, y;
};
// May alias, as on the device: memory is read through them whatever it holds.
struct __attribute__((may_alias, aligned(16))) float4 {
  float x, y, z, w;
};
struct __attribute__((may_alias, aligned(16))) uint4 {
  unsigned x, y, z, w;
};

// Of the lane that runs.
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

using std::max;
using std::min;

inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float x, float y) { return x / y; }

namespace cuda_on_cpu {

// `bits` of lane `lane ^ mask`; waits for all lanes to come to this line.
uint32_t ShuffleXor(unsigned lanes, uint32_t bits, int mask, int line);

cudaError_t Run(dim3 blocks, dim3 threads, const std::function<void()>& kernel);

}  // namespace cuda_on_cpu

template <typename T>
T __shfl_xor_sync(unsigned lanes, T value, int mask,
                  int line = __builtin_LINE()) {
  static_assert(sizeof(T) == sizeof(uint32_t));
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  bits = cuda_on_cpu::ShuffleXor(lanes, bits, mask, line);
  std::memcpy(&value, &bits, sizeof(bits));
  return value;
}

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config,
                               void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  return cuda_on_cpu::Run(config->gridDim, config->blockDim,
                          [&] { kernel(arguments...); });
}

#endif  // ZEROSHOT_TESTS_TESTING_CUDA_ON_CPU_CUDA_RUNTIME_H_
