// How the CPU's towers compute; packed_linear.h says what each means.
#ifndef ZEROSHOT_CLIP_TORCH_CPU_PRECISION_H_
#define ZEROSHOT_CLIP_TORCH_CPU_PRECISION_H_

namespace clip {

enum class CpuPrecision { kFp32, kBf16, kInt8 };

// Whether bfloat16 products are faster than float32 ones here.
bool CpuHasBFloat16();

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_CPU_PRECISION_H_
