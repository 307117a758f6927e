// Every CUDA kernel against its formula in double precision, for each type of
// rows. One source, two programs: on the CPU by stand-ins for CUDA's headers
// (label unit), and on a GPU (label cuda).
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "clip/checkpoint/architecture.h"
#include "clip/token_trie.h"
#include "clip/torch/cuda/kernels.h"
#include "tests/testing/random_floats.h"

namespace clip {
namespace {

using Doubles = std::vector<double>;

// Memory of the device, exactly as much as asked for.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t n) : n_(n) {
    EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&data_), n * sizeof(T)),
              cudaSuccess);
    // NaNs, so that what was not written is seen.
    EXPECT_EQ(cudaMemset(data_, 0xff, n * sizeof(T)), cudaSuccess);
  }
  explicit DeviceArray(const std::vector<T>& values)
      : DeviceArray(values.size()) {
    EXPECT_EQ(cudaMemcpy(data_, values.data(), n_ * sizeof(T),
                         cudaMemcpyHostToDevice),
              cudaSuccess);
  }
  DeviceArray(const DeviceArray&) = delete;
  ~DeviceArray() { EXPECT_EQ(cudaFree(data_), cudaSuccess); }

  T* get() const { return data_; }
  std::vector<T> ToHost() const {
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    std::vector<T> values(n_);
    EXPECT_EQ(cudaMemcpy(values.data(), data_, n_ * sizeof(T),
                         cudaMemcpyDeviceToHost),
              cudaSuccess);
    return values;
  }

 private:
  size_t n_;
  T* data_ = nullptr;
};

size_t ElementBytes(Half type) { return type == Half::kFp32 ? 4 : 2; }

void Encode(Half type, float value, unsigned char* to) {
  if (type == Half::kFp32) {
    std::memcpy(to, &value, 4);
  } else if (type == Half::kFp16) {
    const __half half = __float2half_rn(value);
    std::memcpy(to, &half, 2);
  } else {
    const __nv_bfloat16 half = __float2bfloat16_rn(value);
    std::memcpy(to, &half, 2);
  }
}

float Decode(Half type, const unsigned char* from) {
  if (type == Half::kFp32) {
    float value;
    std::memcpy(&value, from, 4);
    return value;
  }
  if (type == Half::kFp16) {
    __half half;
    std::memcpy(&half, from, 2);
    return __half2float(half);
  }
  __nv_bfloat16 half;
  std::memcpy(&half, from, 2);
  return __bfloat162float(half);
}

// Elements of a type on the device.
class Elements {
 public:
  Elements(Half type, size_t n) : type_(type), bytes_(n * ElementBytes(type)) {}
  Elements(Half type, const Floats& values)
      : type_(type), bytes_(Encoded(type, values)) {}

  void* get() const { return bytes_.get(); }
  void* at(int64_t i) const { return bytes_.get() + i * ElementBytes(type_); }
  Floats ToHost() const {
    const std::vector<unsigned char> bytes = bytes_.ToHost();
    Floats values(bytes.size() / ElementBytes(type_));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = Decode(type_, &bytes[i * ElementBytes(type_)]);
    return values;
  }

 private:
  static std::vector<unsigned char> Encoded(Half type, const Floats& values) {
    std::vector<unsigned char> bytes(values.size() * ElementBytes(type));
    for (size_t i = 0; i < values.size(); ++i)
      Encode(type, values[i], &bytes[i * ElementBytes(type)]);
    return bytes;
  }

  Half type_;
  DeviceArray<unsigned char> bytes_;
};

struct Norm {
  explicit Norm(int width, double epsilon = 1e-5)
      : weight_values(Random(width, 91)),
        bias_values(Random(width, 92)),
        weight(weight_values),
        bias(bias_values),
        epsilon(epsilon) {}
  NormWeights get() const {
    return {weight.get(), bias.get(), static_cast<float>(epsilon)};
  }
  Doubles Expected(const Doubles& row) const {
    const double width = static_cast<double>(row.size());
    double mean = 0, variance = 0;
    for (const double v : row) mean += v / width;
    for (const double v : row) variance += (v - mean) * (v - mean) / width;
    Doubles out(row.size());
    for (size_t i = 0; i < row.size(); ++i) {
      out[i] =
          (row[i] - mean) / std::sqrt(variance + epsilon) * weight_values[i] +
          bias_values[i];
    }
    return out;
  }

  const Floats weight_values, bias_values;
  const DeviceArray<float> weight, bias;
  const double epsilon;
};

class CudaKernelsTest : public ::testing::TestWithParam<Half> {
 protected:
  void SetUp() override {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0)
      GTEST_SKIP() << "no CUDA device here: nothing of this has run";
  }

  Half type() const { return GetParam(); }

  // Values as rows of the type can have them.
  Floats Rounded(Floats values) const {
    unsigned char bytes[4];
    for (float& value : values) {
      Encode(type(), value, bytes);
      value = Decode(type(), bytes);
    }
    return values;
  }
  Floats RandomRows(int64_t n, unsigned seed, float scale = 1) const {
    return Rounded(Random(n, seed, scale));
  }

  // What rounding to the type may do to a value of this size.
  double Rounding(double value) const {
    switch (type()) {
      case Half::kFp16:
        return std::max(std::abs(value) * 0x1.01p-11, 0x1p-24);
      case Half::kBf16:
        return std::abs(value) * 0x1.01p-8;
      case Half::kFp32:
        return std::abs(value) * 0x1p-23;
    }
    return 0;
  }
  // Computed in float32 from numbers of size `scale`, then rounded.
  void ExpectRounded(double found, double expected, double scale) const {
    EXPECT_NEAR(found, expected, Rounding(expected) + 3e-6 * scale);
  }

  // What AddNorm made of rows whose element `at`, of column `i`, is the sum
  // `sum_of(at, i)`.
  template <typename SumOf>
  void ExpectSumsAndNorms(const Floats& sums, const Floats& normed,
                          const Norm& norm, int width,
                          const SumOf& sum_of) const {
    const int64_t rows = static_cast<int64_t>(sums.size()) / width;
    for (int64_t row = 0; row < rows; ++row) {
      Doubles sum(width);
      for (int i = 0; i < width; ++i) {
        const int64_t at = row * width + i;
        sum[i] = sum_of(at, i);
        ASSERT_NEAR(sums[at], sum[i], 3e-6);
      }
      const Doubles expected = norm.Expected(sum);
      for (int i = 0; i < width; ++i)
        ExpectRounded(normed[row * width + i], expected[i], 10);
    }
  }
};

INSTANTIATE_TEST_SUITE_P(AllTypes, CudaKernelsTest,
                         ::testing::Values(Half::kFp16, Half::kBf16,
                                           Half::kFp32),
                         [](const auto& info) {
                           return std::string(info.param == Half::kFp16 ? "Fp16"
                                              : info.param == Half::kBf16
                                                  ? "Bf16"
                                                  : "Fp32");
                         });

constexpr int kWidths[] = {8,   64,   200,  512,  640,
                           768, 1024, 1280, 1664, kMaxWidth};

TEST_P(CudaKernelsTest, AddNormAddsDeltaAndBiasAndNorms) {
  for (const int width : kWidths) {
    SCOPED_TRACE(width);
    constexpr int64_t kRows = 37;  // more than the grid has warps
    const Norm norm(width);
    const Floats x = Random(kRows * width, 1, 3),
                 delta = RandomRows(kRows * width, 2), bias = Random(width, 3);
    const DeviceArray<float> on_x(x), on_bias(bias);
    const Elements on_delta(type(), delta), out(type(), kRows * width);
    ASSERT_EQ(AddNorm(type(), on_x.get(), on_delta.get(), on_bias.get(),
                      norm.get(), kRows, width, out.get(), nullptr),
              cudaSuccess);
    const Floats sums = on_x.ToHost(), normed = out.ToHost();
    ExpectSumsAndNorms(sums, normed, norm, width, [&](int64_t at, int i) {
      return double{x[at]} + delta[at] + bias[i];
    });
  }
}

TEST_P(CudaKernelsTest, AddNormTakesNeitherDeltaNorBias) {
  constexpr int kWidth = 512;
  constexpr int64_t kRows = 9;
  const Norm norm(kWidth);
  const Floats x = Random(kRows * kWidth, 1), bias = Random(kWidth, 3),
               delta = RandomRows(kRows * kWidth, 4);
  const DeviceArray<float> on_bias(bias);
  const Elements on_delta(type(), delta);
  for (const bool with_bias : {false, true}) {
    for (const bool with_delta : {false, true}) {
      const DeviceArray<float> on_x(x);
      const Elements out(type(), kRows * kWidth);
      ASSERT_EQ(
          AddNorm(type(), on_x.get(), with_delta ? on_delta.get() : nullptr,
                  with_bias ? on_bias.get() : nullptr, norm.get(), kRows,
                  kWidth, out.get(), nullptr),
          cudaSuccess);
      const Floats sums = on_x.ToHost(), normed = out.ToHost();
      if (!with_bias && !with_delta) {
        EXPECT_EQ(sums, x);
      }
      ExpectSumsAndNorms(sums, normed, norm, kWidth, [&](int64_t at, int i) {
        return double{x[at]} + (with_delta ? delta[at] : 0) +
               (with_bias ? bias[i] : 0);
      });
    }
  }
}

TEST_P(CudaKernelsTest, AddNormMayWriteWhereItsDeltaIs) {
  constexpr int kWidth = 768;
  constexpr int64_t kRows = 50;
  const Norm norm(kWidth);
  const Floats x = Random(kRows * kWidth, 1);
  const DeviceArray<float> first(x), second(x);
  const Elements delta(type(), Random(kRows * kWidth, 2)),
      out(type(), kRows * kWidth);
  ASSERT_EQ(AddNorm(type(), first.get(), delta.get(), nullptr, norm.get(),
                    kRows, kWidth, out.get(), nullptr),
            cudaSuccess);
  ASSERT_EQ(AddNorm(type(), second.get(), delta.get(), nullptr, norm.get(),
                    kRows, kWidth, delta.get(), nullptr),
            cudaSuccess);
  EXPECT_EQ(delta.ToHost(), out.ToHost());
  EXPECT_EQ(second.ToHost(), first.ToHost());
}

// The residual stream grows with the layers, and some columns much more than
// others; a norm's variance may also be next to nothing.
TEST_P(CudaKernelsTest, AddNormHoldsForHugeAndTinyRows) {
  constexpr int kWidth = 768;
  const float kScales[] = {1e-15f, 1e-6f, 1e-3f, 1e3f, 1e9f, 1e15f};
  constexpr int64_t kRows = 6;
  const Norm norm(kWidth);
  Floats x = Random(kRows * kWidth, 1);
  for (int64_t i = 0; i < kRows * kWidth; ++i) x[i] *= kScales[i / kWidth];
  x.resize((kRows + 2) * kWidth, 7.0f);  // no variance at all: the bias
  for (int i = 0; i < kWidth; ++i)       // far from zero
    x[(kRows + 1) * kWidth + i] = 1000 + x[2 * kWidth + i] * 1000;
  const DeviceArray<float> on_x(x);
  const Elements out(type(), x.size());
  ASSERT_EQ(AddNorm(type(), on_x.get(), nullptr, nullptr, norm.get(), kRows + 2,
                    kWidth, out.get(), nullptr),
            cudaSuccess);
  const Floats normed = out.ToHost();
  for (int64_t row = 0; row < kRows + 2; ++row) {
    SCOPED_TRACE(row);
    const Doubles expected = norm.Expected(
        Doubles(x.begin() + row * kWidth, x.begin() + (row + 1) * kWidth));
    // The mean of numbers around 1000 is known to 1e-4.
    const double scale = row == kRows + 1 ? 300 : 10;
    for (int i = 0; i < kWidth; ++i)
      ExpectRounded(normed[row * kWidth + i], expected[i], scale);
  }
}

TEST_P(CudaKernelsTest, AddNormKeptTakesTheKeptRowsOnly) {
  for (const int width : {64, 512, 768}) {
    constexpr int64_t kRows = 50;
    const std::vector<int32_t> kept = {49, 0,  3,  3,  17, 48, 20, 21, 22,
                                       23, 24, 5,  6,  7,  8,  9,  1,  2,
                                       40, 41, 42, 43, 44, 45, 46, 47};
    const Norm norm(width);
    const Floats x = Random(kRows * width, 1, 3),
                 delta = RandomRows(kRows * width, 2), bias = Random(width, 3);
    const DeviceArray<float> on_x(x), on_bias(bias),
        x_kept(kept.size() * width);
    const DeviceArray<int32_t> on_kept(kept);
    const Elements on_delta(type(), delta), out(type(), kept.size() * width),
        alone(type(), kept.size() * width);
    ASSERT_EQ(AddNormKept(type(), on_x.get(), on_delta.get(), on_bias.get(),
                          norm.get(), on_kept.get(), kept.size(), width,
                          x_kept.get(), out.get(), nullptr),
              cudaSuccess);
    ASSERT_EQ(AddNormKept(type(), on_x.get(), on_delta.get(), on_bias.get(),
                          norm.get(), on_kept.get(), kept.size(), width,
                          nullptr, alone.get(), nullptr),
              cudaSuccess);
    EXPECT_EQ(on_x.ToHost(), x);
    const Floats sums = x_kept.ToHost(), normed = out.ToHost();
    EXPECT_EQ(alone.ToHost(), normed);
    for (size_t row = 0; row < kept.size(); ++row) {
      Doubles sum(width);
      for (int i = 0; i < width; ++i) {
        const int64_t from = kept[row] * width + i;
        sum[i] = double{x[from]} + delta[from] + bias[i];
        ASSERT_NEAR(sums[row * width + i], sum[i], 3e-6);
      }
      const Doubles expected = norm.Expected(sum);
      for (int i = 0; i < width; ++i)
        ExpectRounded(normed[row * width + i], expected[i], 10);
    }
  }
}

TEST_P(CudaKernelsTest, AssembleTokensPutsTheClassBeforeThePatches) {
  for (const int width : {64, 768, 1024, 1280}) {
    constexpr int64_t kImages = 3;
    constexpr int kPatches = 10;
    const Norm norm(width);
    const Floats products = RandomRows(kImages * kPatches * width, 1),
                 class_embedding = Random(width, 2),
                 positions = Random((1 + kPatches) * width, 3);
    const Elements on_products(type(), products);
    const DeviceArray<float> on_class(class_embedding), on_positions(positions),
        x(kImages * (1 + kPatches) * width);
    ASSERT_EQ(AssembleTokens(type(), on_products.get(), on_class.get(),
                             on_positions.get(), norm.get(), kImages, kPatches,
                             width, x.get(), nullptr),
              cudaSuccess);
    const Floats found = x.ToHost();
    for (int64_t row = 0; row < kImages * (1 + kPatches); ++row) {
      const int64_t image = row / (1 + kPatches), token = row % (1 + kPatches);
      Doubles sum(width);
      for (int i = 0; i < width; ++i) {
        sum[i] =
            double{positions[token * width + i]} +
            (token == 0 ? class_embedding[i]
                        : products[(image * kPatches + token - 1) * width + i]);
      }
      const Doubles expected = norm.Expected(sum);
      for (int i = 0; i < width; ++i)
        ASSERT_NEAR(found[row * width + i], expected[i], 3e-5);
    }
  }
}

TEST_P(CudaKernelsTest, EmbedTokensAddsTokenAndPosition) {
  for (const int width : {64, 512, 1288}) {
    const Floats table = Random(100 * width, 1),
                 positions = Random(77 * width, 2);
    std::vector<int32_t> tokens, depths;
    for (int i = 0; i < 40; ++i) {
      tokens.push_back(99 - i * 2);
      depths.push_back(i == 0 ? 76 : i);
    }
    const DeviceArray<float> on_table(table), on_positions(positions),
        x(tokens.size() * width);
    const DeviceArray<int32_t> on_tokens(tokens), on_depths(depths);
    ASSERT_EQ(
        EmbedTokens(on_tokens.get(), on_depths.get(), on_table.get(),
                    on_positions.get(), tokens.size(), width, x.get(), nullptr),
        cudaSuccess);
    const Floats found = x.ToHost();
    for (size_t row = 0; row < tokens.size(); ++row) {
      for (int i = 0; i < width; ++i) {
        ASSERT_EQ(found[row * width + i],
                  table[tokens[row] * width + i] +
                      positions[depths[row] * width + i]);
      }
    }
  }
}

TEST_P(CudaKernelsTest, PatchRowsCutsAndNormalises) {
  constexpr float kMean[3] = {0.48145466f, 0.4578275f, 0.40821073f},
                  kStd[3] = {0.26862954f, 0.26130258f, 0.27577711f};
  struct Case {
    int size, patch;
  };
  // 50 and 14: pixels are cut off. 14, 3 and 5: rows are padded.
  for (const auto [size, patch] : {Case{64, 32},
                                   {64, 16},
                                   {56, 14},
                                   {50, 14},
                                   {9, 3},
                                   {32, 32},
                                   {20, 5}}) {
    SCOPED_TRACE(size);
    constexpr int64_t kImages = 5;
    const int grid = size / patch;
    std::mt19937 random(1);
    std::vector<uint8_t> crops(kImages * size * size * 3);
    for (uint8_t& byte : crops) byte = random() % 256;
    crops[0] = 0, crops[1] = 255;
    const DeviceArray<uint8_t> on_crops(crops);
    const int width = PatchRowWidth(patch);
    EXPECT_EQ(width % 8, 0);
    const Elements rows(type(), kImages * grid * grid * width);
    ASSERT_EQ(PatchRows(type(), on_crops.get(), kImages, size, patch, kMean,
                        kStd, rows.get(), nullptr),
              cudaSuccess);
    const Floats found = rows.ToHost();
    size_t at = 0;
    for (int64_t image = 0; image < kImages; ++image) {
      for (int row = 0; row < grid; ++row) {
        for (int column = 0; column < grid; ++column) {
          for (int y = row * patch; y < (row + 1) * patch; ++y) {
            for (int x = column * patch; x < (column + 1) * patch; ++x) {
              for (int c = 0; c < 3; ++c) {
                const double byte =
                    crops[((image * size + y) * size + x) * 3 + c];
                const double expected = (byte / 255 - kMean[c]) / kStd[c];
                ASSERT_NEAR(found[at++], expected, Rounding(expected) + 5e-7);
              }
            }
          }
          for (int i = patch * patch * 3; i < width; ++i)
            ASSERT_EQ(found[at++], 0);
        }
      }
    }
    EXPECT_EQ(at, found.size());
  }
}

TEST_P(CudaKernelsTest, BiasActivationEqualsItsFormula) {
  for (const int width : {8, 64, 1000, 2048, 3072}) {
    SCOPED_TRACE(width);
    const int64_t rows = width < 1000 ? 150 : 17;
    Floats hidden = RandomRows(rows * width, 1, 4);
    const float extremes[] = {0, -0.0f, 1e-6f, -1e-6f, 6e4f, -6e4f, -20, -100};
    std::copy(std::begin(extremes), std::end(extremes), hidden.begin());
    hidden = Rounded(hidden);
    const Floats bias = Random(width, 2);
    const DeviceArray<float> on_bias(bias);
    for (const Activation activation :
         {Activation::kQuickGelu, Activation::kGelu, Activation::kTanhGelu}) {
      for (const bool with_bias : {false, true}) {
        const Elements on_hidden(type(), hidden);
        ASSERT_EQ(BiasActivation(type(), on_hidden.get(),
                                 with_bias ? on_bias.get() : nullptr,
                                 activation, rows, width, nullptr),
                  cudaSuccess);
        const Floats found = on_hidden.ToHost();
        for (int64_t i = 0; i < rows * width; ++i) {
          const double x =
              double{hidden[i]} + (with_bias ? bias[i % width] : 0);
          const double y = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
          const double expected = activation == Activation::kGelu
                                      ? 0.5 * x * std::erfc(-x / std::sqrt(2.0))
                                  : activation == Activation::kTanhGelu
                                      ? 0.5 * x * (1 + std::tanh(y))
                                      : x / (1 + std::exp(-1.702 * x));
          ASSERT_NEAR(found[i], expected,
                      Rounding(expected) + 1e-6 * std::max(1.0, std::abs(x)))
              << x;
        }
      }
    }
  }
}

// A call's memory on the host, and what it must give.
struct Attention {
  int heads, head_dim;
  int64_t query_stride, key_stride, value_stride;  // elements
  Floats queries, keys, values;                    // as the type has them
  std::vector<int32_t> offsets, ancestors;

  int64_t count() const { return static_cast<int64_t>(offsets.size()) - 1; }

  Doubles Expected(int64_t i, int head) const {
    const float* q = &queries[i * query_stride + head * head_dim];
    Doubles weights, out(head_dim);
    for (int32_t j = offsets[i]; j < offsets[i + 1]; ++j) {
      const float* k = &keys[ancestors[j] * key_stride + head * head_dim];
      double dot = 0;
      for (int c = 0; c < head_dim; ++c) dot += double{q[c]} * k[c];
      weights.push_back(dot / std::sqrt(head_dim));
    }
    if (weights.empty()) return out;
    const double highest = *std::max_element(weights.begin(), weights.end());
    double sum = 0;
    for (double& weight : weights) sum += weight = std::exp(weight - highest);
    for (int32_t j = offsets[i]; j < offsets[i + 1]; ++j) {
      const float* v = &values[ancestors[j] * value_stride + head * head_dim];
      for (int c = 0; c < head_dim; ++c)
        out[c] += weights[j - offsets[i]] / sum * v[c];
    }
    return out;
  }
};

TokenTrie RandomTrie(int prompts, int longest, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::vector<int32_t>> sequences(prompts);
  for (std::vector<int32_t>& sequence : sequences) {
    sequence.push_back(1);
    const int length = 2 + random() % (longest - 1);
    while (sequence.size() < length) sequence.push_back(random() % 3);
    sequence.push_back(9);
  }
  std::vector<absl::Span<const int32_t>> spans(sequences.begin(),
                                               sequences.end());
  return TrieSteps(spans, 1 << 20).Next()->trie;
}

class CudaTrieAttentionTest : public CudaKernelsTest {
 protected:
  void Check(const Attention& a, double score_error = 0) const {
    const Elements queries(type(), a.queries), keys(type(), a.keys),
        values(type(), a.values), out(type(), a.count() * a.heads * a.head_dim);
    const DeviceArray<int32_t> offsets(a.offsets), ancestors(a.ancestors);
    ASSERT_EQ(TrieAttention(
                  {type(), queries.get(), keys.get(), values.get(),
                   a.query_stride, a.key_stride, a.value_stride, offsets.get(),
                   ancestors.get(), a.count(), a.heads, a.head_dim, out.get()},
                  nullptr),
              cudaSuccess);
    const Floats found = out.ToHost();
    for (int64_t i = 0; i < a.count(); ++i) {
      for (int head = 0; head < a.heads; ++head) {
        const Doubles expected = a.Expected(i, head);
        for (int c = 0; c < a.head_dim; ++c) {
          ASSERT_NEAR(found[(i * a.heads + head) * a.head_dim + c], expected[c],
                      Rounding(expected[c]) + 1e-5 + score_error)
              << "query " << i << " head " << head << " column " << c;
        }
      }
    }
  }
};

INSTANTIATE_TEST_SUITE_P(AllTypes, CudaTrieAttentionTest,
                         ::testing::Values(Half::kFp16, Half::kBf16,
                                           Half::kFp32),
                         [](const auto& info) {
                           return std::string(info.param == Half::kFp16 ? "Fp16"
                                              : info.param == Half::kBf16
                                                  ? "Bf16"
                                                  : "Fp32");
                         });

// All nodes of a trie, from one fused row [query, key, value].
TEST_P(CudaTrieAttentionTest, EveryNodeSeesItsAncestors) {
  struct Case {
    int heads, head_dim;
  };
  for (const auto [heads, head_dim] : {Case{1, 8},
                                       {2, 16},
                                       {3, 24},
                                       {4, 32},
                                       {1, 40},
                                       {8, 64},
                                       {2, 80},
                                       {1, 96},
                                       {3, 128},
                                       {16, 64}}) {
    SCOPED_TRACE(head_dim);
    const TokenTrie trie = RandomTrie(heads > 4 ? 6 : 16, 12, head_dim);
    const int width = heads * head_dim;
    const Floats fused = RandomRows(trie.num_nodes() * 3 * width, 1);
    const Elements on_fused(type(), fused),
        out(type(), trie.num_nodes() * width);
    const DeviceArray<int32_t> offsets(trie.offsets), ancestors(trie.ancestors);
    ASSERT_EQ(TrieAttention({type(), on_fused.get(), on_fused.at(width),
                             on_fused.at(2 * width), 3 * width, 3 * width,
                             3 * width, offsets.get(), ancestors.get(),
                             trie.num_nodes(), heads, head_dim, out.get()},
                            nullptr),
              cudaSuccess);
    const Floats found = out.ToHost();
    const Attention a = {heads,
                         head_dim,
                         3 * width,
                         3 * width,
                         3 * width,
                         fused,
                         Floats(fused.begin() + width, fused.end()),
                         Floats(fused.begin() + 2 * width, fused.end()),
                         trie.offsets,
                         trie.ancestors};
    for (int64_t i = 0; i < trie.num_nodes(); ++i) {
      for (int head = 0; head < heads; ++head) {
        const Doubles expected = a.Expected(i, head);
        for (int c = 0; c < head_dim; ++c) {
          ASSERT_NEAR(found[i * width + head * head_dim + c], expected[c],
                      Rounding(expected[c]) + 1e-5);
        }
      }
    }
  }
}

// The last block: queries of the ends only, which are not rows of the keys.
TEST_P(CudaTrieAttentionTest, EndsSeeTheirPaths) {
  constexpr int kHeads = 2, kHeadDim = 64, kWidth = kHeads * kHeadDim;
  const TokenTrie trie = RandomTrie(30, 12, 5);
  Attention a = {kHeads,
                 kHeadDim,
                 kWidth,
                 2 * kWidth,
                 kWidth + 8,
                 RandomRows(trie.num_ends() * kWidth, 1),
                 RandomRows(trie.num_nodes() * 2 * kWidth, 2),
                 RandomRows(trie.num_nodes() * (kWidth + 8), 3),
                 {0},
                 {}};
  for (const int32_t end : trie.ends) {
    a.ancestors.insert(a.ancestors.end(),
                       trie.ancestors.begin() + trie.offsets[end],
                       trie.ancestors.begin() + trie.offsets[end + 1]);
    a.offsets.push_back(static_cast<int32_t>(a.ancestors.size()));
  }
  Check(a);
}

// `lengths` of random rows.
Attention RandomPaths(const std::vector<int>& lengths, int heads, int head_dim,
                      int rows) {
  Attention a = {heads,
                 head_dim,
                 heads * head_dim,
                 heads * head_dim,
                 heads * head_dim,
                 {},
                 {},
                 {},
                 {0},
                 {}};
  std::mt19937 random(7);
  for (const int length : lengths) {
    for (int i = 0; i < length; ++i) a.ancestors.push_back(random() % rows);
    a.offsets.push_back(static_cast<int32_t>(a.ancestors.size()));
  }
  return a;
}

TEST_P(CudaTrieAttentionTest, PathsMayHaveAnyLength) {
  Attention a = RandomPaths(
      {77, 1, 0, 2, 3, 4, 5, 300, 0, 0, 0, 0, 31, 32, 33, 9, 8, 7, 0}, 2, 64,
      40);
  a.queries = RandomRows(a.count() * 128, 1);
  a.keys = RandomRows(40 * 128, 2);
  a.values = RandomRows(40 * 128, 3);
  Check(a);
}

// Scores far apart (one ancestor takes all), alike, and next to nothing.
TEST_P(CudaTrieAttentionTest, HoldsForHugeAndTinyScores) {
  for (const float scale : {1e-4f, 30.0f, 200.0f}) {
    SCOPED_TRACE(scale);
    Attention a = RandomPaths({20, 21, 22, 23, 20, 7}, 1, 64, 30);
    a.queries = RandomRows(a.count() * 64, 1, scale);
    a.keys = RandomRows(30 * 64, 2, scale);
    a.values = RandomRows(30 * 64, 3);
    // A score of size s is known to s * 2^-23 or so.
    Check(a, scale > 1 ? scale * scale * 8 * 1e-6 : 0);
  }
}

TEST_P(CudaTrieAttentionTest, NothingIsReadForColumnsThatAreNotThere) {
  // 80 = 10 lanes of 16; the arrays end where the last row does.
  Attention a = RandomPaths({3, 2, 1}, 1, 80, 4);
  a.queries = RandomRows(a.count() * 80, 1);
  a.keys = RandomRows(4 * 80, 2);
  a.values = RandomRows(4 * 80, 3);
  Check(a);
}

TEST_P(CudaKernelsTest, UnitRowsHaveLengthOneWhateverTheirMagnitude) {
  for (const int width : {8, 64, 512, 768, 1024, 4096}) {
    SCOPED_TRACE(width);
    const bool wide = type() != Half::kFp16;
    const float kScales[] = {1, 1e-3f, wide ? 1e-30f : 1e-5f,
                             wide ? 1e30f : 1e4f};
    constexpr int64_t kRows = 29;
    Floats rows = Random(kRows * width, 1);
    for (int64_t i = 0; i < kRows * width; ++i)
      rows[i] *= kScales[i / width % 4];
    std::fill_n(rows.begin() + 3 * width, width, 0.0f);
    rows = Rounded(rows);
    const Elements on_rows(type(), rows);
    const DeviceArray<float> out(kRows * width);
    ASSERT_EQ(UnitRows(type(), on_rows.get(), kRows, width, out.get(), nullptr),
              cudaSuccess);
    const Floats found = out.ToHost();
    for (int64_t row = 0; row < kRows; ++row) {
      double squares = 0;
      for (int i = 0; i < width; ++i)
        squares += double{rows[row * width + i]} * rows[row * width + i];
      for (int i = 0; i < width; ++i) {
        const double expected =
            squares == 0 ? 0 : rows[row * width + i] / std::sqrt(squares);
        ASSERT_NEAR(found[row * width + i], expected, 5e-7) << row;
      }
    }
  }
}

TEST_P(CudaKernelsTest, NoRowsAreNothingToDo) {
  const Norm norm(64);
  constexpr float kThree[3] = {1, 1, 1};
  EXPECT_EQ(
      PatchRows(type(), nullptr, 0, 32, 16, kThree, kThree, nullptr, nullptr),
      cudaSuccess);
  EXPECT_EQ(AssembleTokens(type(), nullptr, nullptr, nullptr, norm.get(), 0, 4,
                           64, nullptr, nullptr),
            cudaSuccess);
  EXPECT_EQ(
      EmbedTokens(nullptr, nullptr, nullptr, nullptr, 0, 64, nullptr, nullptr),
      cudaSuccess);
  EXPECT_EQ(AddNorm(type(), nullptr, nullptr, nullptr, norm.get(), 0, 64,
                    nullptr, nullptr),
            cudaSuccess);
  EXPECT_EQ(AddNormKept(type(), nullptr, nullptr, nullptr, norm.get(), nullptr,
                        0, 64, nullptr, nullptr, nullptr),
            cudaSuccess);
  EXPECT_EQ(BiasActivation(type(), nullptr, nullptr, Activation::kGelu, 0, 64,
                           nullptr),
            cudaSuccess);
  EXPECT_EQ(TrieAttention({type(), nullptr, nullptr, nullptr, 64, 64, 64,
                           nullptr, nullptr, 0, 1, 64, nullptr},
                          nullptr),
            cudaSuccess);
  EXPECT_EQ(UnitRows(type(), nullptr, 0, 64, nullptr, nullptr), cudaSuccess);
}

TEST_P(CudaKernelsTest, RefusesShapesThatItCannotDo) {
  const Norm norm(64);
  const DeviceArray<float> x(64 * 64);
  constexpr float kThree[3] = {1, 1, 1};
  for (const int width : {0, 12, kMaxWidth + 8}) {
    EXPECT_EQ(AddNorm(type(), x.get(), nullptr, nullptr, norm.get(), 1, width,
                      x.get(), nullptr),
              cudaErrorInvalidValue);
  }
  EXPECT_EQ(AddNorm(type(), x.get() + 1, nullptr, nullptr, norm.get(), 1, 64,
                    x.get(), nullptr),
            cudaErrorInvalidValue);
  EXPECT_EQ(BiasActivation(type(), x.get(), nullptr, Activation::kGelu, 1, 12,
                           nullptr),
            cudaErrorInvalidValue);
  EXPECT_EQ(UnitRows(type(), x.get(), 1, 12, x.get(), nullptr),
            cudaErrorInvalidValue);
  EXPECT_EQ(
      PatchRows(type(), nullptr, 1, 15, 16, kThree, kThree, x.get(), nullptr),
      cudaErrorInvalidValue);
  for (const int head_dim : {0, 12, 136}) {
    EXPECT_EQ(TrieAttention({type(), x.get(), x.get(), x.get(), 64, 64, 64,
                             nullptr, nullptr, 1, 1, head_dim, x.get()},
                            nullptr),
              cudaErrorInvalidValue);
  }
  EXPECT_EQ(TrieAttention({type(), x.get(), x.get(), x.get(), 64, 60, 64,
                           nullptr, nullptr, 1, 1, 64, x.get()},
                          nullptr),
            cudaErrorInvalidValue);
}

}  // namespace
}  // namespace clip
