#include "clip/kernels/tower_kernels.h"

namespace clip {

namespace sse2 {
extern const TowerKernels kTowerKernels;
}
namespace avx2 {
extern const TowerKernels kTowerKernels;
}
namespace avx512 {
extern const TowerKernels kTowerKernels;
}

std::vector<const TowerKernels*> TowerKernels::Supported() {
  std::vector<const TowerKernels*> kernels = {&sse2::kTowerKernels};
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
    return kernels;
  kernels.push_back(&avx2::kTowerKernels);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    kernels.push_back(&avx512::kTowerKernels);
  }
  return kernels;
}

const TowerKernels& TowerKernels::Best() {
  static const TowerKernels& best = *Supported().back();
  return best;
}

}  // namespace clip
