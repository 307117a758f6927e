// clip/torch/cuda/queue.h where there is no CUDA: everything happens at once.
#include "clip/torch/cuda/queue.h"

#include <cstring>

namespace clip {

cudaStream_t CurrentStream() { return nullptr; }

void CheckCuda(cudaError_t error) {
  TORCH_CHECK(error == cudaSuccess, cudaGetErrorString(error));
}

at::Tensor Pinned(at::IntArrayRef shape, at::ScalarType type) {
  return at::empty(shape, type);
}

void SendAsync(const void* pinned, void* device, int64_t bytes) {
  std::memcpy(device, pinned, bytes);
}

}  // namespace clip
