#include "clip/torch/cuda/kernels.h"
#include "clip/torch/cuda/launch.cuh"
#include "clip/torch/cuda/rows.cuh"

namespace clip {
namespace {

// element = byte * scale + shift, of its channel.
struct Channels {
  float scale[3], shift[3];
};

struct Patches {
  int size, patch, grid;
  int run;        // bytes of one row of a patch: neighbours in crop and output
  int width;      // elements of a patch and of its padding
  int per_image;  // elements
};

// Where in a crop row y of a patch begins.
__device__ int RunStart(const Patches& p, int patch, int y) {
  const int row = patch / p.grid, column = patch - row * p.grid;
  return ((row * p.patch + y) * p.size + column * p.patch) * 3;
}

// Eight neighbouring elements of a patch a thread; they lie in two runs at
// most, because a run has nine bytes or more. Images are dealt to blockIdx.y.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    PatchRowsKernel(const uint8_t* crops, int64_t n, Patches p,
                    Channels channels, T* rows) {
  const int first = (blockIdx.x * kThreads + threadIdx.x) * kEight;
  if (first >= p.per_image) return;
  const int patch = first / p.width, begin = first - patch * p.width;
  const int y = begin / p.run, offset = begin - y * p.run;
  const int here = RunStart(p, patch, y) + offset;
  // Of the elements behind this run's end.
  const int next = RunStart(p, patch, y + 1) - (p.run - offset);
  const int count = p.patch * p.run - begin;  // then comes padding
  for (int64_t image = blockIdx.y; image < n; image += gridDim.y) {
    const uint8_t* crop = crops + image * p.size * p.size * 3;
    Eight e = {};
    int channel = offset % 3;
#pragma unroll
    for (int i = 0; i < kEight; ++i) {
      if (i < count) {
        const float byte = crop[(offset + i < p.run ? here : next) + i];
        const float scale = channel == 0   ? channels.scale[0]
                            : channel == 1 ? channels.scale[1]
                                           : channels.scale[2];
        const float shift = channel == 0   ? channels.shift[0]
                            : channel == 1 ? channels.shift[1]
                                           : channels.shift[2];
        e.v[i] = byte * scale + shift;
      }
      channel = channel == 2 ? 0 : channel + 1;
    }
    Store(e, rows + image * p.per_image + first);
  }
}

}  // namespace

cudaError_t PatchRows(Half type, const uint8_t* crops, int64_t n, int size,
                      int patch, const float mean[3], const float std[3],
                      void* rows, cudaStream_t stream) {
  constexpr int kMaxSize = 1 << 14;  // so that an image's elements fit an int
  if (patch < 3 || size < patch || size > kMaxSize || !Aligned(rows))
    return cudaErrorInvalidValue;
  if (n == 0) return cudaSuccess;
  const int grid = size / patch;
  const int width = PatchRowWidth(patch);
  const Patches patches = {size,      patch, grid,
                           patch * 3, width, grid * grid * width};
  Channels channels;
  for (int c = 0; c < 3; ++c) {
    channels.scale[c] = static_cast<float>(1 / (255.0 * std[c]));
    channels.shift[c] =
        static_cast<float>(-static_cast<double>(mean[c]) / std[c]);
  }
  const dim3 blocks(
      (patches.per_image + kThreads * kEight - 1) / (kThreads * kEight),
      Blocks(n, 1));
  return WithType(type, [&]<typename T>() {
    return Launch(blocks, kThreads, stream, PatchRowsKernel<T>, crops, n,
                  patches, channels, static_cast<T*>(rows));
  });
}

}  // namespace clip
