// What the CPU's towers do between matrix products, on one thread: a step of
// 512 prefixes of ViT-B/32's text tower, bfloat16 in and bytes out, as in int8;
// and attention within an image.
#include "clip/kernels/tower_kernels.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace clip {
namespace {

constexpr int64_t kRows = 512, kWidth = 512, kHeads = 8, kMlpWidth = 2048;

std::vector<float> Random(int64_t n) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

std::vector<uint16_t> RandomHalves(int64_t n) {
  std::vector<uint16_t> halves;
  for (const float value : Random(n)) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    halves.push_back(static_cast<uint16_t>(bits >> 16));
  }
  return halves;
}

struct Inputs {
  std::vector<uint16_t> rows = RandomHalves(kRows * kMlpWidth);
  std::vector<float> sums = Random(kRows * kWidth);
  std::vector<float> weight = Random(kWidth), bias = Random(kMlpWidth);
  std::vector<float> scales = std::vector<float>(kRows, 0.01f);
  std::vector<uint8_t> out = std::vector<uint8_t>(kRows * kMlpWidth);
  std::vector<float> out_scales = std::vector<float>(kRows);
  std::vector<float> scratch = std::vector<float>(4 * kMlpWidth);

  RowsIn in() const {
    return {rows.data(), ElementType::kBFloat16, 0, scales.data(), bias.data()};
  }
  RowsOut to() { return {out.data(), ElementType::kUint8, out_scales.data()}; }
};

void Activate(benchmark::State& state, const TowerKernels* kernels) {
  Inputs x;
  for (auto _ : state) {
    kernels->activate(Activation::kQuickGelu, x.in(), x.to(), kMlpWidth, 0,
                      kRows, x.scratch.data());
  }
}

void AddNorm(benchmark::State& state, const TowerKernels* kernels) {
  Inputs x;
  const RowsIn delta = x.in();
  for (auto _ : state) {
    kernels->add_norm(x.sums.data(), &delta, x.weight.data(), x.bias.data(),
                      1e-5f, x.to(), kWidth, 0, kRows, x.scratch.data());
  }
}

// Paths of 4 to 13 prefixes, as ImageNet's prompts have.
void Attend(benchmark::State& state, const TowerKernels* kernels) {
  Inputs x;
  const auto all = RandomHalves(kRows * 3 * kWidth);
  std::vector<int32_t> offsets = {0}, ancestors;
  for (int32_t row = 0; row < kRows; ++row) {
    const int32_t length = 4 + row % 10;
    for (int32_t i = length - 1; i >= 0; --i)
      ancestors.push_back(std::max(0, row - i));
    offsets.push_back(static_cast<int32_t>(ancestors.size()));
  }
  const auto part = [&](int64_t index) {
    return RowsIn{all.data() + index * kWidth, ElementType::kBFloat16,
                  3 * kWidth};
  };
  for (auto _ : state) {
    kernels->attend({part(0), part(1), part(2), offsets.data(),
                     ancestors.data(), kHeads, x.to()},
                    kWidth, 0, kRows, x.scratch.data());
  }
}

// An image of ViT-B/16 in float32: 197 rows of 12 heads.
void AttendWithin(benchmark::State& state, const TowerKernels* kernels) {
  constexpr int64_t kTokens = 197, kImageWidth = 768;
  const std::vector<float> all = Random(kTokens * 3 * kImageWidth);
  std::vector<float> out(kTokens * kImageWidth);
  const auto part = [&](int64_t index) {
    return RowsIn{all.data() + index * kImageWidth, ElementType::kFloat32,
                  3 * kImageWidth};
  };
  const SequenceAttention attention = {part(0), part(1), part(2), 1,
                                       kTokens, kTokens, 12,      {out.data()}};
  std::vector<float> scratch(attention.scratch(kImageWidth));
  for (auto _ : state) {
    kernels->attend_within(attention, kImageWidth, 0, attention.blocks(),
                           scratch.data());
  }
  state.counters["FLOP/s"] =
      benchmark::Counter(4.0 * kTokens * kTokens * kImageWidth,
                         benchmark::Counter::kIsIterationInvariantRate);
}

const bool kRegistered = [] {
  for (const TowerKernels* kernels : TowerKernels::Supported()) {
    const std::string set = kernels->instruction_set;
    benchmark::RegisterBenchmark(("Activate/" + set).c_str(), Activate,
                                 kernels);
    benchmark::RegisterBenchmark(("AddNorm/" + set).c_str(), AddNorm, kernels);
    benchmark::RegisterBenchmark(("Attend/" + set).c_str(), Attend, kernels);
    benchmark::RegisterBenchmark(("AttendWithin/" + set).c_str(), AttendWithin,
                                 kernels);
  }
  return true;
}();

}  // namespace
}  // namespace clip
