#include "clip/kernels/resize_kernels.h"

namespace clip {

namespace sse2 {
extern const ResizeKernels kResizeKernels;
}
namespace avx2 {
extern const ResizeKernels kResizeKernels;
}
namespace avx512 {
extern const ResizeKernels kResizeKernels;
}

std::vector<const ResizeKernels*> ResizeKernels::Supported() {
  std::vector<const ResizeKernels*> kernels = {&sse2::kResizeKernels};
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
    return kernels;
  kernels.push_back(&avx2::kResizeKernels);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    kernels.push_back(&avx512::kResizeKernels);
  }
  return kernels;
}

const ResizeKernels& ResizeKernels::Best() {
  static const ResizeKernels& best = *Supported().back();
  return best;
}

}  // namespace clip
