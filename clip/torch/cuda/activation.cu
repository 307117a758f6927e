#include "clip/checkpoint/architecture.h"
#include "clip/torch/cuda/kernels.h"
#include "clip/torch/cuda/launch.cuh"
#include "clip/torch/cuda/rows.cuh"

namespace clip {
namespace {

// __expf and __fdividef are good to some 2^-21 here; float32 rows, which are
// there to compare with, get the exact ones. Where exp is infinite the quotient
// is 0, as it should be.
template <typename T>
__device__ float QuickGelu(float x) {
  return __fdividef(x, 1 + __expf(-1.702f * x));
}
template <>
__device__ float QuickGelu<float>(float x) {
  return x / (1 + expf(-1.702f * x));
}

__device__ float Gelu(float x) {
  return 0.5f * x * (1 + erff(x * 0.70710678f));
}

// 0.5 x (1 + tanh(y)) is x * sigmoid(2 y).
template <typename T>
__device__ float TanhGelu(float x) {
  const float y = 1.5957691216f * (x + 0.044715f * x * x * x);
  return __fdividef(x, 1 + __expf(-y));
}
template <>
__device__ float TanhGelu<float>(float x) {
  return x / (1 + expf(-1.5957691216f * (x + 0.044715f * x * x * x)));
}

template <typename T, Activation kActivation>
__device__ float Activated(float x) {
  if constexpr (kActivation == Activation::kGelu) {
    return Gelu(x);
  } else if constexpr (kActivation == Activation::kTanhGelu) {
    return TanhGelu<T>(x);
  } else {
    return QuickGelu<T>(x);
  }
}

constexpr int kRowsAtOnce = 4;

// A thread has eight columns, keeps their bias and goes down the rows, four at
// a time so that four loads are under way.
template <typename T, Activation kActivation>
__global__ void __launch_bounds__(kThreads)
    BiasActivationKernel(T* hidden, const float* bias, int64_t rows,
                         int width) {
  const int column = (blockIdx.x * blockDim.x + threadIdx.x) * kEight;
  if (column >= width) return;
  const Eight b = bias == nullptr ? Eight{} : Load(bias + column);
  const int64_t step =
      static_cast<int64_t>(gridDim.y) * blockDim.y * kRowsAtOnce;
  for (int64_t first =
           (static_cast<int64_t>(blockIdx.y) * blockDim.y + threadIdx.y) *
           kRowsAtOnce;
       first < rows; first += step) {
    T* at = hidden + first * width + column;
    Eight e[kRowsAtOnce];
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r) {
      if (first + r < rows) e[r] = Load(at + static_cast<int64_t>(r) * width);
    }
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r) {
      if (first + r >= rows) break;
#pragma unroll
      for (int i = 0; i < kEight; ++i) {
        e[r].v[i] = Activated<T, kActivation>(e[r].v[i] + b.v[i]);
      }
      Store(e[r], at + static_cast<int64_t>(r) * width);
    }
  }
}

}  // namespace

cudaError_t BiasActivation(Half type, void* hidden, const float* bias,
                           Activation activation, int64_t rows, int width,
                           cudaStream_t stream) {
  if (width <= 0 || width % kEight != 0 || !AllAligned(hidden, bias))
    return cudaErrorInvalidValue;
  if (rows == 0) return cudaSuccess;
  // Narrow rows lie below each other in a block.
  const unsigned lanes = width / kEight;
  dim3 threads(1, kThreads);
  while (threads.x < lanes && threads.x < 128) {
    threads.x *= 2;
    threads.y /= 2;
  }
  const int64_t rows_per_block = threads.y * kRowsAtOnce;
  const dim3 blocks((lanes + threads.x - 1) / threads.x,
                    Blocks(rows, rows_per_block));
  return WithType(type, [&]<typename T>() {
    return Launch(blocks, threads, stream,
                  activation == Activation::kGelu
                      ? BiasActivationKernel<T, Activation::kGelu>
                  : activation == Activation::kTanhGelu
                      ? BiasActivationKernel<T, Activation::kTanhGelu>
                      : BiasActivationKernel<T, Activation::kQuickGelu>,
                  static_cast<T*>(hidden), bias, rows, width);
  });
}

}  // namespace clip
