#include "clip/kernels/resize_kernels.h"

#include "clip/kernels/supported.h"

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
  return SupportedOf(sse2::kResizeKernels, avx2::kResizeKernels,
                     avx512::kResizeKernels);
}

const ResizeKernels& ResizeKernels::Best() {
  static const ResizeKernels& best = *Supported().back();
  return best;
}

}  // namespace clip
