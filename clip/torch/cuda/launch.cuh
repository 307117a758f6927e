// What our kernels share on the host: how a call checks its pointers, finds the
// kernel for its type, and launches it.
#ifndef ZEROSHOT_CLIP_TORCH_CUDA_LAUNCH_CUH_
#define ZEROSHOT_CLIP_TORCH_CUDA_LAUNCH_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <utility>

#include "clip/torch/cuda/kernels.h"

namespace clip {

// Tests on the CPU make it small, so that every grid goes round again.
#ifndef CLIP_CUDA_MOST_BLOCKS
#define CLIP_CUDA_MOST_BLOCKS 65535  // the limit of gridDim.y
#endif

// Blocks for `items` when each takes `items_per_block`, along x and y; a grid
// that the limit cuts short goes round again.
inline unsigned Blocks(int64_t items, int64_t items_per_block) {
  constexpr int64_t kMost = CLIP_CUDA_MOST_BLOCKS;
  const int64_t blocks = (items + items_per_block - 1) / items_per_block;
  return static_cast<unsigned>(blocks < kMost ? blocks : kMost);
}

inline bool Aligned(const void* p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}
template <typename... Pointers>
bool AllAligned(Pointers... pointers) {
  return (Aligned(pointers) && ...);
}

template <typename... Parameters, typename... Arguments>
cudaError_t Launch(dim3 blocks, dim3 threads, cudaStream_t stream,
                   void (*kernel)(Parameters...), Arguments&&... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = blocks;
  config.blockDim = threads;
  config.stream = stream;
  const cudaError_t error = cudaLaunchKernelEx(
      &config, kernel, std::forward<Arguments>(arguments)...);
  // Told to our caller; the next to ask need not hear of it again.
  if (error != cudaSuccess) static_cast<void>(cudaGetLastError());
  return error;
}

// f.operator()<T>() with the C++ type of the elements.
template <typename Function>
cudaError_t WithType(Half type, const Function& f) {
  switch (type) {
    case Half::kFp16:
      return f.template operator()<__half>();
    case Half::kBf16:
      return f.template operator()<__nv_bfloat16>();
    case Half::kFp32:
      return f.template operator()<float>();
  }
  return cudaErrorInvalidValue;
}

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_CUDA_LAUNCH_CUH_
