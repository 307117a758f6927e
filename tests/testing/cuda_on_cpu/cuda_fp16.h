// A stand-in for CUDA's header of this name: conversions of IEEE half
// precision, to the nearest, ties to even. See cuda_runtime_api.h.
#ifndef ZEROSHOT_TESTS_TESTING_CUDA_ON_CPU_CUDA_FP16_H_
#define ZEROSHOT_TESTS_TESTING_CUDA_ON_CPU_CUDA_FP16_H_

#include <cmath>
#include <cstdint>

#include "cuda_runtime.h"

struct __half {
  uint16_t bits;
};
struct __half2 {
  __half x, y;
};

inline float __half2float(__half half) {
  const int exponent = half.bits >> 10 & 31, fraction = half.bits & 1023;
  const float value =
      exponent == 31
          ? (fraction == 0 ? INFINITY : NAN)
          : (exponent == 0 ? std::ldexp(fraction, -24)
                           : std::ldexp(1024 + fraction, exponent - 25));
  return half.bits & 0x8000 ? -value : value;
}

inline __half __float2half_rn(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const auto with_sign = [sign](int bits) {
    return __half{static_cast<uint16_t>(sign | bits)};
  };
  value = std::fabs(value);
  if (std::isnan(value)) return __half{0x7fff};
  if (value >= 65520) return with_sign(0x7c00);
  if (value < 0x1p-14f) {
    // A multiple of 2^-24; 1024 of them are the smallest normal number.
    return with_sign(static_cast<int>(std::nearbyint(value * 0x1p24f)));
  }
  const int exponent = std::ilogb(value);
  const int steps = static_cast<int>(
      std::nearbyint(std::ldexp(value, 10 - exponent)));  // 1024 ... 2048
  return with_sign(((exponent + 15) << 10) + steps - 1024);
}

inline float2 __half22float2(__half2 pair) {
  return {__half2float(pair.x), __half2float(pair.y)};
}
inline __half2 __floats2half2_rn(float x, float y) {
  return {__float2half_rn(x), __float2half_rn(y)};
}

#endif  // ZEROSHOT_TESTS_TESTING_CUDA_ON_CPU_CUDA_FP16_H_
