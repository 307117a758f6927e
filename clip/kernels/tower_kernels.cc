#include "clip/kernels/tower_kernels.h"

#include "clip/kernels/supported.h"

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
  return SupportedOf(sse2::kTowerKernels, avx2::kTowerKernels,
                     avx512::kTowerKernels);
}

const TowerKernels& TowerKernels::Best() {
  static const TowerKernels& best = *Supported().back();
  return best;
}

}  // namespace clip
