#include "clip/score_kernels.h"

#include "clip/kernels/supported.h"

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
  return SupportedOf(sse2::kScoreKernels, avx2::kScoreKernels,
                     avx512::kScoreKernels);
}

const ScoreKernels& ScoreKernels::Best() {
  static const ScoreKernels& best = *Supported().back();
  return best;
}

}  // namespace clip
