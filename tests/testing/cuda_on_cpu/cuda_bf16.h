// A stand-in for CUDA's header of this name: conversions of bfloat16, the upper
// half of a float, to the nearest, ties to even. See cuda_runtime_api.h.
#ifndef ZEROSHOT_TESTS_TESTING_CUDA_ON_CPU_CUDA_BF16_H_
#define ZEROSHOT_TESTS_TESTING_CUDA_ON_CPU_CUDA_BF16_H_

#include <cmath>
#include <cstdint>
#include <cstring>

#include "cuda_runtime.h"

struct __nv_bfloat16 {
  uint16_t bits;
};
struct __nv_bfloat162 {
  __nv_bfloat16 x, y;
};

inline float __bfloat162float(__nv_bfloat16 value) {
  const uint32_t wide = uint32_t{value.bits} << 16;
  float result;
  std::memcpy(&result, &wide, sizeof(result));
  return result;
}

inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  if (std::isnan(value)) return {0x7fff};
  uint32_t wide;
  std::memcpy(&wide, &value, sizeof(wide));
  // Infinity and what rounds to it included.
  wide += 0x7fff + (wide >> 16 & 1);
  return {static_cast<uint16_t>(wide >> 16)};
}

inline float2 __bfloat1622float2(__nv_bfloat162 pair) {
  return {__bfloat162float(pair.x), __bfloat162float(pair.y)};
}
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {__float2bfloat16_rn(x), __float2bfloat16_rn(y)};
}

#endif  // ZEROSHOT_TESTS_TESTING_CUDA_ON_CPU_CUDA_BF16_H_
