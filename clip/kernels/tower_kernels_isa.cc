// Compiled once for each instruction set, with CLIP_ISA its name. Written in
// the compiler's vector types: sums of a loop's lanes need not be in the loop's
// order, which the compiler would otherwise keep.
//
// Everything but the table is in an unnamed namespace, for the reason that
// vectors.h gives.
#include "clip/kernels/exp.h"
#include "clip/kernels/sequence_attention.h"
#ifdef __AMX_BF16__
#include "clip/kernels/tile_attention.h"
#endif
#include "clip/kernels/tower_kernels.h"
#include "clip/kernels/vectors.h"

namespace clip::CLIP_ISA {
namespace {

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

// 0.5 x (1 + tanh(y)) is x * sigmoid(2 y).
CLIP_INLINE Floats TanhGelu(const Floats& x) {
  return x / (1.0f + Exp(-1.5957691216f * (x + 0.044715f * x * x * x)));
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
  const int64_t at = r * StrideOf(in, width);
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
  } else if (activation == Activation::kTanhGelu) {
    Map(
        in, out, width, begin, end, scratch,
        [](const Floats& x)
            __attribute__((always_inline)) { return TanhGelu(x); });
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

// What attention does with one head: its query read to floats, the product
// with a key, and the sum of values, each times its weight. For any width:
template <typename T>
struct AnyHead {
  const int64_t width;

  CLIP_INLINE void ReadQuery(const T* from, float* query) const {
    ForLanes(
        width, [&](int64_t i, int64_t n) __attribute__((always_inline)) {
          Store(Load(from + i, n), query + i, n);
        });
  }
  CLIP_INLINE float Product(const float* query, const T* key) const {
    Floats sum = {};
    ForLanes(
        width, [&](int64_t i, int64_t n) __attribute__((always_inline)) {
          sum += Load(query + i, n) * Load(key + i, n);
        });
    return Total(sum);
  }
  CLIP_INLINE void Mix(const T* values, int64_t stride, const int32_t* path,
                       int64_t length, const float* weights, int64_t room,
                       float scale, int64_t at, Row* mixed) const {
    ForLanes(
        width, [&](int64_t i, int64_t n) __attribute__((always_inline)) {
          Floats sum = {};
          for (int64_t p = 0; p < length; ++p)
            sum += weights[p * room] * Load(values + path[p] * stride + i, n);
          mixed->Set(at + i, n, sum * scale);
        });
  }
};

// For a width of 64, that of all CLIP's towers: query and sums stay in
// registers, in LoadPairs' order.
template <typename T>
struct Head64 {
  static constexpr int64_t width = 64, kPairs = width / (2 * kLanes);

  CLIP_INLINE void ReadQuery(const T* from, float* query) const {
    for (int64_t v = 0; v < kPairs; ++v) {
      const Pair pair = LoadPair(from + v * 2 * kLanes);
      Store(pair.first, query + v * 2 * kLanes, kLanes);
      Store(pair.second, query + v * 2 * kLanes + kLanes, kLanes);
    }
  }
  CLIP_INLINE float Product(const float* query, const T* key) const {
    Floats sum = {};
    for (int64_t v = 0; v < kPairs; ++v) {
      const Pair pair = LoadPair(key + v * 2 * kLanes);
      sum += Load(query + v * 2 * kLanes, kLanes) * pair.first;
      sum += Load(query + v * 2 * kLanes + kLanes, kLanes) * pair.second;
    }
    return Total(sum);
  }
  CLIP_INLINE void Mix(const T* values, int64_t stride, const int32_t* path,
                       int64_t length, const float* weights, int64_t room,
                       float scale, int64_t at, Row* mixed) const {
    Pair sums[kPairs] = {};
    for (int64_t p = 0; p < length; ++p) {
      const T* value = values + path[p] * stride;
      for (int64_t v = 0; v < kPairs; ++v) {
        const Pair pair = LoadPair(value + v * 2 * kLanes);
        sums[v].first += weights[p * room] * pair.first;
        sums[v].second += weights[p * room] * pair.second;
      }
    }
    for (int64_t v = 0; v < kPairs; ++v) {
      const Pair pair = InOrder<T>(sums[v]);
      mixed->Set(at + v * 2 * kLanes, kLanes, pair.first * scale);
      mixed->Set(at + v * 2 * kLanes + kLanes, kLanes, pair.second * scale);
    }
  }
};

template <typename T, typename Head>
CLIP_INLINE void AttendRows(const TrieAttention& a, const Head& head,
                            int64_t width, int64_t begin, int64_t end,
                            float* scratch) {
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(head.width));
  const T* queries = static_cast<const T*>(a.queries.data);
  const T* keys = static_cast<const T*>(a.keys.data);
  const T* values = static_cast<const T*>(a.values.data);
  const int64_t query_stride = StrideOf(a.queries, width),
                key_stride = StrideOf(a.keys, width),
                value_stride = StrideOf(a.values, width);
  const int64_t room = RoundedUp(a.heads, kLanes);
  float* query = scratch;
  float* inverse = scratch + 2 * width;  // [room]
  float* scores = inverse + room;        // [length, room]
  for (int64_t q = begin; q < end; ++q) {
    const int32_t* path = a.ancestors + a.offsets[q];
    const int64_t length = a.offsets[q + 1] - a.offsets[q];
    for (int64_t at = 0; at < width; at += head.width)
      head.ReadQuery(queries + q * query_stride + at, query + at);
    // A key from end to end, all its heads.
    for (int64_t p = 0; p < length; ++p) {
      const T* key = keys + path[p] * key_stride;
      for (int64_t h = 0; h < a.heads; ++h) {
        const int64_t at = h * head.width;
        scores[p * room + h] = head.Product(query + at, key + at) * scale;
      }
    }
    Softmax(scores, length, room, inverse);
    Row mixed{scratch + width};
    for (int64_t h = 0; h < a.heads; ++h) {
      const int64_t at = h * head.width;
      head.Mix(values + at, value_stride, path, length, scores + h, room,
               inverse[h], at, &mixed);
    }
    Write(mixed, q, width, a.out);
  }
}

template <typename T>
void AttendTyped(const TrieAttention& attention, int64_t width, int64_t begin,
                 int64_t end, float* scratch) {
  if (width == 64 * attention.heads) {
    AttendRows<T>(attention, Head64<T>(), width, begin, end, scratch);
  } else {
    AttendRows<T>(attention, AnyHead<T>{width / attention.heads}, width, begin,
                  end, scratch);
  }
}

void Attend(const TrieAttention& attention, int64_t width, int64_t begin,
            int64_t end, float* scratch) {
  if (attention.keys.type == ElementType::kFloat32) {
    AttendTyped<float>(attention, width, begin, end, scratch);
  } else {
    AttendTyped<uint16_t>(attention, width, begin, end, scratch);
  }
}

void AttendWithin(const SequenceAttention& attention, int64_t width,
                  int64_t begin, int64_t end, float* scratch) {
  const bool in_floats = attention.keys.type == ElementType::kFloat32,
             out_floats = attention.out.type == ElementType::kFloat32;
  if (in_floats && out_floats) {
    AttendBlocks<float, float>(attention, width, begin, end, scratch);
  } else if (in_floats) {
    AttendBlocks<float, uint16_t>(attention, width, begin, end, scratch);
#ifdef __AMX_BF16__
  } else if (width / attention.heads % 2 == 0) {
    out_floats ? AttendTiles<float>(attention, width, begin, end, scratch)
               : AttendTiles<uint16_t>(attention, width, begin, end, scratch);
#endif
  } else if (out_floats) {
    AttendBlocks<uint16_t, float>(attention, width, begin, end, scratch);
  } else {
    AttendBlocks<uint16_t, uint16_t>(attention, width, begin, end, scratch);
  }
}

#define CLIP_NAME_(name) #name
#define CLIP_NAME(name) CLIP_NAME_(name)

}  // namespace

extern const TowerKernels kTowerKernels;
const TowerKernels kTowerKernels = {
    CLIP_NAME(CLIP_ISA), AddNorm, Activate, Convert, Attend, AttendWithin};

}  // namespace clip::CLIP_ISA
