#include "clip/torch/cuda/kernels.h"
#include "clip/torch/cuda/launch.cuh"
#include "clip/torch/cuda/rows.cuh"

namespace clip {
namespace {

// A warp a row, which it reads three times, twice from its cache. Divided by
// its largest element first: squares neither overflow nor vanish.
template <typename T>
__global__ void UnitRowsKernel(const T* rows, int64_t n, int width,
                               float* out) {
  for (int64_t row = FirstRow(); row < n; row += RowStep()) {
    const T* in = rows + row * width;
    float largest = 0;
    for (int c = Lane() * kEight; c < width; c += kWarpColumns) {
      const Eight e = Load(in + c);
#pragma unroll
      for (const float v : e.v) largest = fmaxf(largest, fabsf(v));
    }
    largest = WarpMax(largest);
    if (largest == 0) largest = 1;
    float sum = 0;
    for (int c = Lane() * kEight; c < width; c += kWarpColumns) {
      const Eight e = Load(in + c);
#pragma unroll
      for (const float v : e.v) sum += (v / largest) * (v / largest);
    }
    sum = WarpSum(sum);
    const float length = sum == 0 ? 1 : sqrtf(sum);
    for (int c = Lane() * kEight; c < width; c += kWarpColumns) {
      Eight e = Load(in + c);
#pragma unroll
      for (float& v : e.v) v = v / largest / length;
      Store(e, out + row * width + c);
    }
  }
}

}  // namespace

cudaError_t UnitRows(Half type, const void* rows, int64_t n, int width,
                     float* out, cudaStream_t stream) {
  if (width <= 0 || width % kEight != 0 || !AllAligned(rows, out))
    return cudaErrorInvalidValue;
  if (n == 0) return cudaSuccess;
  return WithType(type, [&]<typename T>() {
    return Launch(Blocks(n, kWarps), kThreads, stream, UnitRowsKernel<T>,
                  static_cast<const T*>(rows), n, width, out);
  });
}

}  // namespace clip
