#include "clip/score_kernels.h"

namespace clip {

namespace sse2 {
extern const ScoreKernels kScoreKernels;
}
namespace avx2 {
extern const ScoreKernels kScoreKernels;
}
namespace avx512 {
extern const ScoreKernels kScoreKernels;
}

std::vector<const ScoreKernels*> ScoreKernels::Supported() {
  std::vector<const ScoreKernels*> kernels = {&sse2::kScoreKernels};
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
    return kernels;
  kernels.push_back(&avx2::kScoreKernels);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    kernels.push_back(&avx512::kScoreKernels);
  }
  return kernels;
}

const ScoreKernels& ScoreKernels::Best() {
  static const ScoreKernels& best = *Supported().back();
  return best;
}

}  // namespace clip
