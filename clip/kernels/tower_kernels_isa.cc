// Compiled once for each instruction set, with CLIP_ISA its name. Written in
// the compiler's vector types: sums of a loop's lanes need not be in the loop's
// order, which the compiler would otherwise keep.
//
// Everything but the table is in an unnamed namespace, for the reason that
// vectors.h gives.
#include "clip/kernels/tower_kernels.h"
#include "clip/kernels/vectors.h"

namespace clip::CLIP_ISA {
namespace {

// e^x for x in -87 ... 88, clamped there; within 2 units in the last place.
// Cody and Waite's reduction and the polynomial of Cephes' expf (Moshier).
CLIP_INLINE Floats Exp(Floats x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds
  const Floats lowest = Floats{} - 87.0f, highest = Floats{} + 88.0f;
  x = x < lowest ? lowest : x;
  x = x > highest ? highest : x;
  const Floats shifted = x * 1.44269504088896341f + kRound;
  const Floats n = shifted - kRound;
  const Floats r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Floats y = r * 1.9875691500e-4f + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  // The low bits of `shifted` are n.
  return y * (Floats)(((Words)shifted + 127) << 23);
}

CLIP_INLINE Floats QuickGelu(const Floats& x) {
  return x / (1.0f + Exp(-1.702f * x));
}

// x * Phi(x) by Abramowitz and Stegun's 7.1.26 for erf: at most 1.5e-7 off.
CLIP_INLINE Floats Gelu(const Floats& x) {
  const Floats z = (x < 0.0f ? -x : x) * 0.70710678118654752f;
  const Floats t = 1.0f / (1.0f + 0.3275911f * z);
  Floats y = 1.061405429f * t - 1.453152027f;
  y = y * t + 1.421413741f;
  y = y * t - 0.284496736f;
  y = y * t + 0.254829592f;
  const Floats erf = 1.0f - y * t * Exp(-z * z);
  return 0.5f * x * (1.0f + (x < 0.0f ? -erf : erf));
}

// use(i, n, values) for the lanes of a row that is read.
template <typename T, typename Use>
CLIP_INLINE void ForValues(const T* in, float scale, const float* bias,
                           int64_t width, Use use) {
  if (bias != nullptr) {
    ForLanes(
        width, [&](int64_t i, int64_t n) __attribute__((always_inline)) {
          use(i, n, Load(in + i, n) * scale + Load(bias + i, n));
        });
  } else {
    ForLanes(
        width, [&](int64_t i, int64_t n) __attribute__((always_inline)) {
          use(i, n, Load(in + i, n) * scale);
        });
  }
}
template <typename Use>
CLIP_INLINE void ForValues(const RowsIn& in, int64_t r, int64_t width,
                           Use use) {
  const int64_t at = r * (in.stride == 0 ? width : in.stride);
  const float scale = in.row_scales == nullptr ? 1.0f : in.row_scales[r];
  if (in.type == ElementType::kFloat32) {
    ForValues(static_cast<const float*>(in.data) + at, scale, in.bias, width,
              use);
  } else {
    ForValues(static_cast<const uint16_t*>(in.data) + at, scale, in.bias, width,
              use);
  }
}

// A row to be written: its values, and the largest magnitude among each lane's.
struct Row {
  float* const values;
  Floats magnitudes = {};

  CLIP_INLINE void Set(int64_t i, int64_t n, const Floats& x) {
    Store(x, values + i, n);
    magnitudes = Max(magnitudes, Max(x, -x));
  }
};

template <typename T>
CLIP_INLINE void WriteAs(T* to, const float* values, float scale,
                         int64_t width) {
  ForLanes(
      width, [&](int64_t i, int64_t n) __attribute__((always_inline)) {
        Store(Load(values + i, n) * scale, to + i, n);
      });
}

void Write(const Row& row, int64_t r, int64_t width, const RowsOut& out) {
  float inverse = 1.0f;
  if (out.row_scales != nullptr) {
    const float largest = Largest(row.magnitudes);
    inverse = largest > 0 ? 127.0f / largest : 0.0f;
    out.row_scales[r] = largest / 127.0f;
  }
  const int64_t at = r * width;
  if (out.type == ElementType::kFloat32) {
    WriteAs(static_cast<float*>(out.data) + at, row.values, inverse, width);
  } else if (out.type == ElementType::kBFloat16) {
    WriteAs(static_cast<uint16_t*>(out.data) + at, row.values, inverse, width);
  } else {
    WriteAs(static_cast<uint8_t*>(out.data) + at, row.values, inverse, width);
  }
}

void AddNorm(float* sum, const RowsIn* delta, const float* weight,
             const float* bias, float epsilon, const RowsOut& out,
             int64_t width, int64_t begin, int64_t end, float* scratch) {
  for (int64_t r = begin; r < end; ++r) {
    float* x = sum + r * width;
    Floats total = {};
    if (delta != nullptr) {
      ForValues(
          *delta, r, width,
          [&](int64_t i, int64_t n, const Floats& y)
              __attribute__((always_inline)) {
                const Floats added = Load(x + i, n) + y;
                Store(added, x + i, n);
                total += added;
              });
    } else {
      ForLanes(
          width, [&](int64_t i, int64_t n) __attribute__((always_inline)) {
            total += Load(x + i, n);
          });
    }
    const float mean = Total(total) / static_cast<float>(width);
    // Centred first: squares of small differences between large numbers.
    Floats squares = {};
    ForLanes(
        width, [&](int64_t i, int64_t n) __attribute__((always_inline)) {
          Store(Load(x + i, n) - mean, scratch + i, n);
          const Floats centred = Load(scratch + i, n);  // zeros behind the last
          squares += centred * centred;
        });
    const float scale =
        1.0f /
        __builtin_sqrtf(Total(squares) / static_cast<float>(width) + epsilon);
    Row row{scratch};
    ForLanes(
        width, [&](int64_t i, int64_t n) __attribute__((always_inline)) {
          row.Set(i, n,
                  Load(scratch + i, n) * scale * Load(weight + i, n) +
                      Load(bias + i, n));
        });
    Write(row, r, width, out);
  }
}

template <typename Function>
CLIP_INLINE void Map(const RowsIn& in, const RowsOut& out, int64_t width,
                     int64_t begin, int64_t end, float* scratch,
                     Function function) {
  for (int64_t r = begin; r < end; ++r) {
    Row row{scratch};
    ForValues(
        in, r, width,
        [&](int64_t i, int64_t n, const Floats& x)
            __attribute__((always_inline)) { row.Set(i, n, function(x)); });
    Write(row, r, width, out);
  }
}

void Activate(Activation activation, const RowsIn& in, const RowsOut& out,
              int64_t width, int64_t begin, int64_t end, float* scratch) {
  if (activation == Activation::kQuickGelu) {
    Map(
        in, out, width, begin, end, scratch,
        [](const Floats& x)
            __attribute__((always_inline)) { return QuickGelu(x); });
  } else {
    Map(
        in, out, width, begin, end, scratch,
        [](const Floats& x) __attribute__((always_inline)) { return Gelu(x); });
  }
}

void Convert(const RowsIn& in, const RowsOut& out, int64_t width, int64_t begin,
             int64_t end, float* scratch) {
  Map(
      in, out, width, begin, end, scratch,
      [](const Floats& x) __attribute__((always_inline)) { return x; });
}

// Scores to weights; returns what they must be divided by to sum to 1. Has
// room for, and writes, a multiple of kLanes.
CLIP_INLINE float Softmax(float* scores, int64_t length) {
  int64_t padded = length;
  for (; padded % kLanes != 0; ++padded) scores[padded] = -1e30f;
  Floats largest = Load(scores, kLanes), total = {};
  for (int64_t i = kLanes; i < padded; i += kLanes)
    largest = Max(largest, Load(scores + i, kLanes));
  const float highest = Largest(largest);
  for (int64_t i = 0; i < padded; i += kLanes) {
    // Of what pads, e^-87 is left, which changes no sum of at least 1.
    const Floats weights = Exp(Load(scores + i, kLanes) - highest);
    Store(weights, scores + i, kLanes);
    total += weights;
  }
  return Total(total);
}

// A head's values, each times its weight, summed. kHeadWidth: 0 for any, else
// known to the compiler, which then keeps the sums in registers.
template <typename T, int64_t kHeadWidth>
CLIP_INLINE void Mix(const T* values, int64_t stride, const int32_t* path,
                     const float* weights, int64_t length, float scale,
                     int64_t head_width, int64_t at, Row* mixed) {
  constexpr int64_t kVectors = kHeadWidth / kLanes;
  if constexpr (kVectors > 0) {
    Floats sums[kVectors] = {};
    for (int64_t p = 0; p < length; ++p) {
      const T* value = values + path[p] * stride;
      for (int64_t v = 0; v < kVectors; ++v)
        sums[v] += weights[p] * Load(value + v * kLanes, kLanes);
    }
    for (int64_t v = 0; v < kVectors; ++v)
      mixed->Set(at + v * kLanes, kLanes, sums[v] * scale);
  } else {
    ForLanes(
        head_width, [&](int64_t i, int64_t n) __attribute__((always_inline)) {
          Floats sum = {};
          for (int64_t p = 0; p < length; ++p)
            sum += weights[p] * Load(values + path[p] * stride + i, n);
          mixed->Set(at + i, n, sum * scale);
        });
  }
}

template <typename T, int64_t kHeadWidth>
CLIP_INLINE void AttendRows(const TrieAttention& a, int64_t width,
                            int64_t begin, int64_t end, float* scratch) {
  const int64_t head_width = kHeadWidth > 0 ? kHeadWidth : width / a.heads;
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(head_width));
  const T* keys = static_cast<const T*>(a.keys.data);
  const T* values = static_cast<const T*>(a.values.data);
  const int64_t key_stride = a.keys.stride == 0 ? width : a.keys.stride;
  const int64_t value_stride = a.values.stride == 0 ? width : a.values.stride;
  float* query = scratch;
  float* scores = scratch + 2 * width;  // [heads, room]
  for (int64_t q = begin; q < end; ++q) {
    const int32_t* path = a.ancestors + a.offsets[q];
    const int64_t length = a.offsets[q + 1] - a.offsets[q];
    const int64_t room = (length + kLanes - 1) / kLanes * kLanes;
    ForValues(
        a.queries, q, width,
        [&](int64_t i, int64_t n, const Floats& x)
            __attribute__((always_inline)) { Store(x, query + i, n); });
    // A key from end to end, all its heads.
    for (int64_t p = 0; p < length; ++p) {
      const T* key = keys + path[p] * key_stride;
      for (int64_t h = 0; h < a.heads; ++h) {
        const int64_t at = h * head_width;
        Floats score = {};
        ForLanes(
            head_width, [&](int64_t i,
                            int64_t n) __attribute__((always_inline)) {
              score += Load(query + at + i, n) * Load(key + at + i, n);
            });
        scores[h * room + p] = Total(score) * scale;
      }
    }
    Row mixed{scratch + width};
    for (int64_t h = 0; h < a.heads; ++h) {
      const int64_t at = h * head_width;
      const float total = Softmax(scores + h * room, length);
      Mix<T, kHeadWidth>(values + at, value_stride, path, scores + h * room,
                         length, 1.0f / total, head_width, at, &mixed);
    }
    Write(mixed, q, width, a.out);
  }
}

void Attend(const TrieAttention& attention, int64_t width, int64_t begin,
            int64_t end, float* scratch) {
  const bool usual = width == 64 * attention.heads;  // of all CLIP's towers
  if (attention.keys.type == ElementType::kFloat32) {
    usual ? AttendRows<float, 64>(attention, width, begin, end, scratch)
          : AttendRows<float, 0>(attention, width, begin, end, scratch);
  } else {
    usual ? AttendRows<uint16_t, 64>(attention, width, begin, end, scratch)
          : AttendRows<uint16_t, 0>(attention, width, begin, end, scratch);
  }
}

#define CLIP_NAME_(name) #name
#define CLIP_NAME(name) CLIP_NAME_(name)

}  // namespace

extern const TowerKernels kTowerKernels;
const TowerKernels kTowerKernels = {CLIP_NAME(CLIP_ISA), AddNorm, Activate,
                                    Convert, Attend};

}  // namespace clip::CLIP_ISA
