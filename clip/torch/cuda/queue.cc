#include "clip/torch/cuda/queue.h"

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

namespace clip {

cudaStream_t CurrentStream() { return c10::cuda::getCurrentCUDAStream(); }

void CheckCuda(cudaError_t error) { C10_CUDA_CHECK(error); }

at::Tensor Pinned(at::IntArrayRef shape, at::ScalarType type) {
  return at::empty(shape, at::TensorOptions().dtype(type).pinned_memory(true));
}

void SendAsync(const void* pinned, void* device, int64_t bytes) {
  CheckCuda(cudaMemcpyAsync(device, pinned, bytes, cudaMemcpyHostToDevice,
                            CurrentStream()));
}

}  // namespace clip
