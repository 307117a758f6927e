#include "clip/kernels/tower_kernels.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

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
namespace amx {
extern const TowerKernels kTowerKernels;
}
namespace {

// Tiles of bfloat16: the CPU has them, and Linux, asked once for all threads,
// keeps them when it changes from one to another.
bool TilesAreAllowed() {
  constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24,
                     kAvx512Bf16 = 1u << 5;
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & kAmxBf16) ||
      !(d & kAmxTile) || !__get_cpuid_count(7, 1, &a, &b, &c, &d) ||
      !(a & kAvx512Bf16)) {
    return false;
  }
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // arch_prctl(2)
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

std::vector<const TowerKernels*> TowerKernels::Supported() {
  std::vector<const TowerKernels*> kernels = SupportedOf(
      sse2::kTowerKernels, avx2::kTowerKernels, avx512::kTowerKernels);
  if (kernels.back() == &avx512::kTowerKernels && TilesAreAllowed())
    kernels.push_back(&amx::kTowerKernels);
  return kernels;
}

const TowerKernels& TowerKernels::Best() {
  static const TowerKernels& best = *Supported().back();
  return best;
}

}  // namespace clip
