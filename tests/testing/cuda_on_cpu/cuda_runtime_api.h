// A stand-in for CUDA's header of this name, with the little of it that our
// kernels and their test use: the .cu files of clip/torch/cuda compile against
// this folder as plain C++ and run on the CPU, without a GPU, a CUDA header or
// a word about it in the kernels. Device memory is the heap, in blocks of
// exactly the size asked for, so that AddressSanitizer sees every element that
// a kernel reads or writes outside of them.
//
// What it cannot show: how a kernel does on the hardware, errors of its
// approximate functions, and races between warps; cuda_runtime.h says how
// lanes run. The same test runs on a GPU where there is one (label cuda).
//
// Thread rule: for one thread.
#ifndef ZEROSHOT_TESTS_TESTING_CUDA_ON_CPU_CUDA_RUNTIME_API_H_
#define ZEROSHOT_TESTS_TESTING_CUDA_ON_CPU_CUDA_RUNTIME_API_H_

#include <cstddef>
#include <cstdlib>
#include <cstring>

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };

using cudaStream_t = struct CUstream_st*;

inline const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
  }
  return "unknown";
}
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

// As aligned as the real one's.
inline cudaError_t cudaMalloc(void** memory, size_t bytes) {
  return posix_memalign(memory, 256, bytes) == 0 ? cudaSuccess
                                                 : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFree(void* memory) {
  std::free(memory);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes,
                              cudaMemcpyKind) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemset(void* memory, int byte, size_t bytes) {
  if (bytes > 0) std::memset(memory, byte, bytes);
  return cudaSuccess;
}
// Kernels run when they are launched.
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }

#endif  // ZEROSHOT_TESTS_TESTING_CUDA_ON_CPU_CUDA_RUNTIME_API_H_
