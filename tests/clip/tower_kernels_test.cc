// Every kernel on every instruction set that this CPU has, against the formula
// in double precision.
#include "clip/kernels/tower_kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "tests/testing/random_floats.h"

namespace clip {
namespace {

// Odd widths end in a part of a vector register.
constexpr int64_t kWidths[] = {1, 7, 16, 64, 129, 512};
constexpr int64_t kRows = 5;

float FromBFloat16(uint16_t bits) {
  const uint32_t wide = uint32_t{bits} << 16;
  float value;
  std::memcpy(&value, &wide, sizeof(value));
  return value;
}

std::vector<uint16_t> Truncated(const Floats& values) {
  std::vector<uint16_t> halves;
  for (const float value : values) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    halves.push_back(static_cast<uint16_t>(bits >> 16));
  }
  return halves;
}

Floats Widened(const std::vector<uint16_t>& halves) {
  Floats values;
  for (const uint16_t half : halves) values.push_back(FromBFloat16(half));
  return values;
}

class TowerKernelsTest : public ::testing::TestWithParam<const TowerKernels*> {
 protected:
  const TowerKernels& kernels() const { return *GetParam(); }

  Floats Converted(const RowsIn& in, int64_t width) const {
    Floats out(kRows * width), scratch(width);
    kernels().convert(in, {out.data()}, width, 0, kRows, scratch.data());
    return out;
  }
  Floats Activated(Activation activation, const Floats& in) const {
    Floats out(in.size()), scratch(in.size());
    kernels().activate(activation, {in.data()}, {out.data()},
                       static_cast<int64_t>(in.size()), 0, 1, scratch.data());
    return out;
  }
};

TEST_P(TowerKernelsTest, AddNormAddsAndNormalises) {
  for (const int64_t width : kWidths) {
    const Floats x = Random(kRows * width, 1, 3),
                 delta = Random(kRows * width, 2), weight = Random(width, 3),
                 bias = Random(width, 4);
    Floats sum = x, out(kRows * width), scratch(width);
    const RowsIn in = {delta.data()};
    kernels().add_norm(sum.data(), &in, weight.data(), bias.data(), 1e-5f,
                       {out.data()}, width, 1, kRows, scratch.data());
    for (int64_t i = 0; i < width; ++i) EXPECT_EQ(sum[i], x[i]);  // row 0
    for (int64_t r = 1; r < kRows; ++r) {
      double mean = 0, variance = 0;
      for (int64_t i = r * width; i < (r + 1) * width; ++i) {
        EXPECT_EQ(sum[i], x[i] + delta[i]);
        mean += sum[i];
      }
      mean /= width;
      for (int64_t i = r * width; i < (r + 1) * width; ++i)
        variance += (sum[i] - mean) * (sum[i] - mean);
      variance /= width;
      for (int64_t i = 0; i < width; ++i) {
        EXPECT_NEAR(out[r * width + i],
                    (sum[r * width + i] - mean) / std::sqrt(variance + 1e-5) *
                            weight[i] +
                        bias[i],
                    2e-5);
      }
    }
  }
}

TEST_P(TowerKernelsTest, AddNormWithoutDeltaOnlyNormalises) {
  Floats sum = {1, 2, 3, 4}, out(4), scratch(4);
  const Floats weight(4, 1), bias(4, 0);
  kernels().add_norm(sum.data(), nullptr, weight.data(), bias.data(), 0,
                     {out.data()}, 4, 0, 1, scratch.data());
  EXPECT_EQ(sum, Floats({1, 2, 3, 4}));
  EXPECT_NEAR(out[0], -1.3416408, 1e-6);
  EXPECT_NEAR(out[3], 1.3416408, 1e-6);
}

TEST_P(TowerKernelsTest, ActivationsEqualTheirFormulas) {
  Floats x = {0, -0.0f, 1e-30f, -1e30f, 1e30f};
  for (float v = -30; v <= 30; v += 0.0173f) x.push_back(v);
  const Floats quick = Activated(Activation::kQuickGelu, x),
               exact = Activated(Activation::kGelu, x),
               by_tanh = Activated(Activation::kTanhGelu, x);
  for (size_t i = 0; i < x.size(); ++i) {
    const double v = x[i], near = 3e-7 * std::max(1.0, std::abs(v));
    EXPECT_NEAR(quick[i], v / (1 + std::exp(-1.702 * v)), near) << v;
    EXPECT_NEAR(exact[i], v * 0.5 * std::erfc(-v / std::sqrt(2.0)), near) << v;
    const double y = std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v);
    EXPECT_NEAR(by_tanh[i], 0.5 * v * (1 + std::tanh(y)), near) << v;
  }
}

TEST_P(TowerKernelsTest, ReadsScalesBiasAndStrides) {
  for (const int64_t width : kWidths) {
    const int64_t stride = width + 3;
    const Floats data = Random(kRows * stride, 1), scales = Random(kRows, 2),
                 bias = Random(width, 3);
    const std::vector<uint16_t> halves = Truncated(data);
    const Floats widened = Widened(halves);
    const Floats floats = Converted({data.data(), ElementType::kFloat32, stride,
                                     scales.data(), bias.data()},
                                    width);
    const Floats from_halves = Converted({halves.data(), ElementType::kBFloat16,
                                          stride, scales.data(), bias.data()},
                                         width);
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t i = 0; i < width; ++i) {
        const int64_t at = r * stride + i;
        EXPECT_NEAR(floats[r * width + i], data[at] * scales[r] + bias[i],
                    1e-6);
        EXPECT_NEAR(from_halves[r * width + i],
                    widened[at] * scales[r] + bias[i], 1e-6);
      }
    }
  }
}

TEST_P(TowerKernelsTest, RoundsToTheNearestBFloat16TiesToEven) {
  // 1 + 2^-8 is half way between two bfloat16s, 1 + 3 * 2^-8 too.
  const Floats in = {1, 1 + 0x1p-8f, 1 + 3 * 0x1p-8f, 1 + 0x1.1p-8f, -2.5f};
  std::vector<uint16_t> out(5);
  Floats scratch(5);
  kernels().convert({in.data()}, {out.data(), ElementType::kBFloat16}, 5, 0, 1,
                    scratch.data());
  EXPECT_EQ(Widened(out),
            Floats({1, 1, 1 + 4 * 0x1p-8f, 1 + 2 * 0x1p-8f, -2.5f}));
}

TEST_P(TowerKernelsTest, QuantisesEachRowByItsLargestMagnitude) {
  for (const int64_t width : kWidths) {
    Floats in = Random(kRows * width, 1);
    for (int64_t i = 0; i < width; ++i) in[i] = 0;  // a row of zeros
    for (int64_t i = width; i < 2 * width; ++i) in[i] *= 1000;
    std::vector<uint8_t> bytes(kRows * width);
    Floats scales(kRows), floats(kRows * width), float_scales(kRows),
        scratch(width);
    kernels().convert({in.data()},
                      {bytes.data(), ElementType::kUint8, scales.data()}, width,
                      0, kRows, scratch.data());
    kernels().convert(
        {in.data()},
        {floats.data(), ElementType::kFloat32, float_scales.data()}, width, 0,
        kRows, scratch.data());
    EXPECT_EQ(scales, float_scales);
    for (int64_t r = 0; r < kRows; ++r) {
      int largest = 0;
      for (int64_t i = r * width; i < (r + 1) * width; ++i) {
        const int level = bytes[i] - 128;
        largest = std::max(largest, std::abs(level));
        EXPECT_NEAR(level * scales[r], in[i], 0.5001f * scales[r]);
        EXPECT_NEAR(floats[i] * scales[r], in[i],
                    1e-5f * (1 + std::abs(in[i])));
      }
      EXPECT_EQ(largest, r == 0 ? 0 : 127);
    }
  }
}

// Softmax attention by the formula, of one query and head.
Floats Expected(const Floats& query, const Floats& keys, const Floats& values,
                const std::vector<int32_t>& path, int64_t width,
                int64_t heads) {
  const int64_t head_width = width / heads;
  Floats out(width);
  for (int64_t h = 0; h < heads; ++h) {
    std::vector<double> weights;
    double total = 0;
    for (const int32_t node : path) {
      double score = 0;
      for (int64_t i = h * head_width; i < (h + 1) * head_width; ++i)
        score += double{query[i]} * keys[node * width + i];
      weights.push_back(std::exp(score / std::sqrt(double(head_width))));
      total += weights.back();
    }
    for (int64_t i = h * head_width; i < (h + 1) * head_width; ++i) {
      double mixed = 0;
      for (size_t p = 0; p < path.size(); ++p)
        mixed += weights[p] / total * values[path[p] * width + i];
      out[i] = static_cast<float>(mixed);
    }
  }
  return out;
}

TEST_P(TowerKernelsTest, AQuerySeesItsAncestorsAndNothingElse) {
  const std::vector<std::vector<int32_t>> paths = {
      {0}, {0, 1}, {0, 1, 2}, {0, 1, 2, 3}, {0, 4}};
  std::vector<int32_t> offsets = {0}, ancestors;
  for (const std::vector<int32_t>& path : paths) {
    ancestors.insert(ancestors.end(), path.begin(), path.end());
    offsets.push_back(static_cast<int32_t>(ancestors.size()));
  }
  for (const auto& [width, heads] : std::vector<std::pair<int64_t, int64_t>>{
           {6, 2}, {64, 1}, {96, 3}, {512, 8}}) {
    const auto queries = Truncated(Random(kRows * width, 1, 2)),
               keys = Truncated(Random(kRows * width, 2)),
               values = Truncated(Random(kRows * width, 3));
    const Floats q = Widened(queries), k = Widened(keys), v = Widened(values);
    Floats out(kRows * width), from_halves(kRows * width),
        scratch(AttendScratch(width, heads, 4));
    TrieAttention attention = {{q.data()},     {k.data()},       {v.data()},
                               offsets.data(), ancestors.data(), heads,
                               {out.data()}};
    kernels().attend(attention, width, 0, kRows, scratch.data());
    attention.queries = {queries.data(), ElementType::kBFloat16};
    attention.keys = {keys.data(), ElementType::kBFloat16};
    attention.values = {values.data(), ElementType::kBFloat16};
    attention.out = {from_halves.data()};
    kernels().attend(attention, width, 0, kRows, scratch.data());
    for (int64_t r = 0; r < kRows; ++r) {
      const Floats expected =
          Expected({q.begin() + r * width, q.begin() + (r + 1) * width}, k, v,
                   paths[r], width, heads);
      for (int64_t i = 0; i < width; ++i) {
        EXPECT_NEAR(out[r * width + i], expected[i], 2e-6) << width;
        EXPECT_NEAR(from_halves[r * width + i], expected[i], 2e-6) << width;
      }
    }
  }
}

// Sequences of `length` rows, of which the first `asking` ask.
struct Asked {
  int64_t width, heads, sequences, asking, length;
};

TEST_P(TowerKernelsTest, AQuerySeesAllOfItsSequenceAndNothingElse) {
  for (const Asked& of : std::vector<Asked>{{6, 2, 3, 1, 1},
                                            {64, 1, 1, 33, 33},
                                            {144, 2, 2, 70, 70},
                                            {160, 2, 2, 1, 50},
                                            {256, 2, 1, 17, 17},
                                            {768, 12, 2, 197, 197}}) {
    const auto& [width, heads, sequences, asking, length] = of;
    const auto queries = Truncated(Random(sequences * asking * width, 1, 2)),
               keys = Truncated(Random(sequences * length * width, 2)),
               values = Truncated(Random(sequences * length * width, 3));
    const Floats q = Widened(queries), k = Widened(keys), v = Widened(values);
    const int64_t all = sequences * asking * width;
    Floats out(all), in_parts(all), from_halves(all);
    std::vector<uint16_t> halves(all);
    SequenceAttention attention = {{q.data()}, {k.data()},  {v.data()},
                                   sequences,  asking,      length,
                                   heads,      {out.data()}};
    Floats scratch(attention.scratch(width), 1e9f);  // what was there before
    const int64_t blocks = attention.blocks();
    kernels().attend_within(attention, width, 0, blocks, scratch.data());
    attention.out = {in_parts.data()};
    for (int64_t block = blocks; block > 0; --block) {
      kernels().attend_within(attention, width, block - 1, block,
                              scratch.data());
    }
    EXPECT_EQ(in_parts, out) << width;
    attention.out = {halves.data(), ElementType::kBFloat16};
    kernels().attend_within(attention, width, 0, blocks, scratch.data());
    attention.queries = {queries.data(), ElementType::kBFloat16};
    attention.keys = {keys.data(), ElementType::kBFloat16};
    attention.values = {values.data(), ElementType::kBFloat16};
    attention.out = {from_halves.data()};
    kernels().attend_within(attention, width, 0, blocks, scratch.data());
    // Tiles round weights to bfloat16.
    const bool tiles = kernels().instruction_set == std::string("amx");
    if (!tiles) {
      EXPECT_EQ(from_halves, out) << width;
    }
    const float largest =
        std::abs(*std::max_element(v.begin(), v.end(), [](float a, float b) {
          return std::abs(a) < std::abs(b);
        }));
    attention.out = {halves.data(), ElementType::kBFloat16};
    kernels().attend_within(attention, width, 0, blocks, scratch.data());
    const Floats rounded = Widened(halves);
    std::vector<int32_t> path(length);
    for (int64_t r = 0; r < sequences * asking; ++r) {
      std::iota(path.begin(), path.end(), r / asking * length);
      const Floats expected =
          Expected({q.begin() + r * width, q.begin() + (r + 1) * width}, k, v,
                   path, width, heads);
      for (int64_t i = 0; i < width; ++i) {
        EXPECT_NEAR(out[r * width + i], expected[i], 5e-6) << width;
        EXPECT_NEAR(from_halves[r * width + i], expected[i],
                    tiles ? 0x1p-9 * largest : 5e-6)
            << width;
        EXPECT_NEAR(rounded[r * width + i], from_halves[r * width + i],
                    0x1p-8 * std::abs(from_halves[r * width + i]))
            << width;
      }
    }
  }
}

// Parts of wider rows, as one product makes them.
TEST_P(TowerKernelsTest, SequencesAreReadByTheirStride) {
  constexpr int64_t width = 24, heads = 2, length = 9;
  const Floats all = Random(length * 3 * width, 1);
  const auto part = [&](int64_t index) {
    return RowsIn{all.data() + index * width, ElementType::kFloat32, 3 * width};
  };
  const auto copy = [&](int64_t index) {
    Floats rows;
    for (int64_t r = 0; r < length; ++r) {
      const auto row = all.begin() + (r * 3 + index) * width;
      rows.insert(rows.end(), row, row + width);
    }
    return rows;
  };
  const Floats q = copy(0), k = copy(1), v = copy(2);
  Floats out(length * width), expected(length * width);
  SequenceAttention attention = {{q.data()}, {k.data()},       {v.data()},
                                 1,          length,           length,
                                 heads,      {expected.data()}};
  Floats scratch(attention.scratch(width));
  kernels().attend_within(attention, width, 0, attention.blocks(),
                          scratch.data());
  attention.queries = part(0);
  attention.keys = part(1);
  attention.values = part(2);
  attention.out = {out.data()};
  kernels().attend_within(attention, width, 0, attention.blocks(),
                          scratch.data());
  EXPECT_EQ(out, expected);
}

// Large scores must not overflow: only differences count.
TEST_P(TowerKernelsTest, SoftmaxIsStable) {
  const Floats query = {200}, keys = {200, 100}, values = {1, 2};
  const std::vector<int32_t> offsets = {0, 2}, ancestors = {0, 1};
  Floats out(1), scratch(AttendScratch(1, 1, 2));
  kernels().attend({{query.data()},
                    {keys.data()},
                    {values.data()},
                    offsets.data(),
                    ancestors.data(),
                    1,
                    {out.data()}},
                   1, 0, 1, scratch.data());
  EXPECT_EQ(out[0], 1);
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, TowerKernelsTest,
                         ::testing::ValuesIn(TowerKernels::Supported()),
                         [](const auto& info) {
                           return std::string(info.param->instruction_set);
                         });

}  // namespace
}  // namespace clip
