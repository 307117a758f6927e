// What the towers queue on, without LibTorch's headers about CUDA: tests run
// them on the CPU (tests/testing/cuda_on_cpu/), where there is no stream.
// Thread rule: functions without state, on the caller's current stream.
#ifndef ZEROSHOT_CLIP_TORCH_CUDA_QUEUE_H_
#define ZEROSHOT_CLIP_TORCH_CUDA_QUEUE_H_

#include <ATen/ATen.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace clip {

// LibTorch's current stream of the current device.
cudaStream_t CurrentStream();

// Throws c10::AcceleratorError unless it is cudaSuccess.
void CheckCuda(cudaError_t error);

// A tensor in pinned memory. What copies from or to it is not told to
// LibTorch's allocator, which would record an event when it gets the memory
// back: on a device that is lost that throws, in a destructor. So it must live
// until the caller has waited for the copy.
at::Tensor Pinned(at::IntArrayRef shape, at::ScalarType type);

// Queues a copy of `bytes` bytes from pinned memory to the device.
void SendAsync(const void* pinned, void* device, int64_t bytes);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_CUDA_QUEUE_H_
