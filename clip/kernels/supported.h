// Which of the builds of one source this CPU can run: *_isa.cc are compiled for
// SSE2, which every x86-64 has, for AVX2 with FMA, and for AVX-512.
#ifndef ZEROSHOT_CLIP_KERNELS_SUPPORTED_H_
#define ZEROSHOT_CLIP_KERNELS_SUPPORTED_H_

#include <vector>

namespace clip {

// Those that run here, the fastest last. Borrows all.
template <typename Kernels>
std::vector<const Kernels*> SupportedOf(const Kernels& sse2,
                                        const Kernels& avx2,
                                        const Kernels& avx512) {
  std::vector<const Kernels*> kernels = {&sse2};
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
    return kernels;
  kernels.push_back(&avx2);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    kernels.push_back(&avx512);
  }
  return kernels;
}

}  // namespace clip

#endif  // ZEROSHOT_CLIP_KERNELS_SUPPORTED_H_
