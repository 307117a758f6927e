// Compiled once for each instruction set, with CLIP_ISA its name: plain loops
// that the compiler turns into vector instructions.
//
// Nothing here may have linkage that another file could share: the linker
// keeps one copy of an inline function, and it must not be the one that only
// some CPUs can run. So everything but the table is in an unnamed namespace,
// and nothing of the standard library's is called.
#include "clip/kernels/tower_kernels.h"

#define CLIP_INLINE inline __attribute__((always_inline))

namespace clip::CLIP_ISA {
namespace {

CLIP_INLINE float FromBits(uint32_t bits) {
  return __builtin_bit_cast(float, bits);
}
CLIP_INLINE uint32_t ToBits(float value) {
  return __builtin_bit_cast(uint32_t, value);
}

CLIP_INLINE float ToFloat(float value) { return value; }
CLIP_INLINE float ToFloat(uint16_t bfloat16) {
  return FromBits(uint32_t{bfloat16} << 16);
}

// To the nearest, ties to even.
CLIP_INLINE uint16_t ToBFloat16(float value) {
  const uint32_t bits = ToBits(value);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// e^x for x in -87 ... 88, clamped there; within 2 units in the last place.
// Cody and Waite's reduction and the polynomial of Cephes' expf (Moshier).
CLIP_INLINE float Exp(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  const float shifted = x * 1.44269504088896341f + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float y = 1.9875691500e-4f;
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  // The low bits of `shifted` are n.
  return y * FromBits((ToBits(shifted) + 127) << 23);
}

CLIP_INLINE float QuickGelu(float x) { return x / (1.0f + Exp(-1.702f * x)); }

// x * Phi(x) by Abramowitz and Stegun's 7.1.26 for erf: at most 1.5e-7 off.
CLIP_INLINE float Gelu(float x) {
  const float z = (x < 0 ? -x : x) * 0.70710678118654752f;
  const float t = 1.0f / (1.0f + 0.3275911f * z);
  float y = 1.061405429f;
  y = y * t - 1.453152027f;
  y = y * t + 1.421413741f;
  y = y * t - 0.284496736f;
  y = y * t + 0.254829592f;
  const float erf = 1.0f - y * t * Exp(-z * z);
  return 0.5f * x * (1.0f + (x < 0 ? -erf : erf));
}

template <typename T>
CLIP_INLINE void LoadRow(const T* __restrict in, float scale,
                         const float* __restrict bias, float* __restrict row,
                         int64_t width) {
  if (bias != nullptr) {
    for (int64_t i = 0; i < width; ++i)
      row[i] = ToFloat(in[i]) * scale + bias[i];
  } else {
    for (int64_t i = 0; i < width; ++i) row[i] = ToFloat(in[i]) * scale;
  }
}

void Load(const RowsIn& in, int64_t r, int64_t width, float* row) {
  const int64_t at = r * (in.stride == 0 ? width : in.stride);
  const float scale = in.row_scales == nullptr ? 1.0f : in.row_scales[r];
  if (in.type == ElementType::kFloat32) {
    LoadRow(static_cast<const float*>(in.data) + at, scale, in.bias, row,
            width);
  } else {
    LoadRow(static_cast<const uint16_t*>(in.data) + at, scale, in.bias, row,
            width);
  }
}

CLIP_INLINE float LargestMagnitude(const float* row, int64_t width) {
  float largest = 0;
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < width; ++i) {
    const float magnitude = row[i] < 0 ? -row[i] : row[i];
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

void Store(const float* __restrict row, int64_t r, int64_t width,
           const RowsOut& out) {
  float inverse = 1.0f;
  if (out.row_scales != nullptr) {
    const float largest = LargestMagnitude(row, width);
    inverse = largest > 0 ? 127.0f / largest : 0.0f;
    out.row_scales[r] = largest / 127.0f;
  }
  if (out.type == ElementType::kFloat32) {
    float* __restrict to = static_cast<float*>(out.data) + r * width;
    for (int64_t i = 0; i < width; ++i) to[i] = row[i] * inverse;
  } else if (out.type == ElementType::kBFloat16) {
    uint16_t* __restrict to = static_cast<uint16_t*>(out.data) + r * width;
    for (int64_t i = 0; i < width; ++i) to[i] = ToBFloat16(row[i] * inverse);
  } else {
    uint8_t* __restrict to = static_cast<uint8_t*>(out.data) + r * width;
    for (int64_t i = 0; i < width; ++i)
      to[i] =
          static_cast<uint8_t>(static_cast<int32_t>(row[i] * inverse + 128.5f));
  }
}

void AddNorm(float* sum, const RowsIn* delta, const float* weight,
             const float* bias, float epsilon, const RowsOut& out,
             int64_t width, int64_t begin, int64_t end, float* scratch) {
  const float* __restrict w = weight;
  const float* __restrict b = bias;
  float* __restrict y = scratch;
  for (int64_t r = begin; r < end; ++r) {
    float* __restrict x = sum + r * width;
    if (delta != nullptr) {
      Load(*delta, r, width, y);
      for (int64_t i = 0; i < width; ++i) x[i] += y[i];
    }
    float total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < width; ++i) total += x[i];
    const float mean = total / static_cast<float>(width);
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < width; ++i)
      squares += (x[i] - mean) * (x[i] - mean);
    const float scale =
        1.0f / __builtin_sqrtf(squares / static_cast<float>(width) + epsilon);
    for (int64_t i = 0; i < width; ++i)
      y[i] = (x[i] - mean) * scale * w[i] + b[i];
    Store(y, r, width, out);
  }
}

void Activate(Activation activation, const RowsIn& in, const RowsOut& out,
              int64_t width, int64_t begin, int64_t end, float* scratch) {
  float* __restrict y = scratch;
  for (int64_t r = begin; r < end; ++r) {
    Load(in, r, width, y);
    if (activation == Activation::kQuickGelu) {
      for (int64_t i = 0; i < width; ++i) y[i] = QuickGelu(y[i]);
    } else {
      for (int64_t i = 0; i < width; ++i) y[i] = Gelu(y[i]);
    }
    Store(y, r, width, out);
  }
}

void Convert(const RowsIn& in, const RowsOut& out, int64_t width, int64_t begin,
             int64_t end, float* scratch) {
  for (int64_t r = begin; r < end; ++r) {
    Load(in, r, width, scratch);
    Store(scratch, r, width, out);
  }
}

// Scores to weights that sum to 1.
CLIP_INLINE void Softmax(float* __restrict scores, int64_t length) {
  float largest = scores[0];
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < length; ++i)
    largest = scores[i] > largest ? scores[i] : largest;
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < length; ++i) {
    scores[i] = Exp(scores[i] - largest);
    total += scores[i];
  }
  const float inverse = 1.0f / total;
  for (int64_t i = 0; i < length; ++i) scores[i] *= inverse;
}

// All heads of a query at once, so that a row of keys or values is read from
// end to end.
template <typename T>
CLIP_INLINE void AttendRows(const TrieAttention& a, int64_t width,
                            int64_t begin, int64_t end, float* scratch) {
  const int64_t head_width = width / a.heads;
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(head_width));
  const T* keys = static_cast<const T*>(a.keys.data);
  const T* values = static_cast<const T*>(a.values.data);
  const int64_t key_stride = a.keys.stride == 0 ? width : a.keys.stride;
  const int64_t value_stride = a.values.stride == 0 ? width : a.values.stride;
  float* __restrict query = scratch;
  float* __restrict mixed = scratch + width;
  float* __restrict scores = scratch + 2 * width;  // [heads, length]
  for (int64_t q = begin; q < end; ++q) {
    const int32_t* path = a.ancestors + a.offsets[q];
    const int64_t length = a.offsets[q + 1] - a.offsets[q];
    Load(a.queries, q, width, query);
    for (int64_t i = 0; i < width; ++i) query[i] *= scale;
    for (int64_t p = 0; p < length; ++p) {
      const T* __restrict key = keys + path[p] * key_stride;
      for (int64_t h = 0; h < a.heads; ++h) {
        float score = 0;
#pragma omp simd reduction(+ : score)
        for (int64_t i = 0; i < head_width; ++i)
          score += query[h * head_width + i] * ToFloat(key[h * head_width + i]);
        scores[h * length + p] = score;
      }
    }
    for (int64_t h = 0; h < a.heads; ++h) Softmax(scores + h * length, length);
    for (int64_t i = 0; i < width; ++i) mixed[i] = 0;
    for (int64_t p = 0; p < length; ++p) {
      const T* __restrict value = values + path[p] * value_stride;
      for (int64_t h = 0; h < a.heads; ++h) {
        const float weight = scores[h * length + p];
        for (int64_t i = h * head_width; i < (h + 1) * head_width; ++i)
          mixed[i] += weight * ToFloat(value[i]);
      }
    }
    Store(mixed, q, width, a.out);
  }
}

void Attend(const TrieAttention& attention, int64_t width, int64_t begin,
            int64_t end, float* scratch) {
  if (attention.keys.type == ElementType::kFloat32) {
    AttendRows<float>(attention, width, begin, end, scratch);
  } else {
    AttendRows<uint16_t>(attention, width, begin, end, scratch);
  }
}

#define CLIP_NAME_(name) #name
#define CLIP_NAME(name) CLIP_NAME_(name)

}  // namespace

extern const TowerKernels kTowerKernels;
const TowerKernels kTowerKernels = {CLIP_NAME(CLIP_ISA), AddNorm, Activate,
                                    Convert, Attend};

}  // namespace clip::CLIP_ISA
