#include "tests/testing/random_tensors.h"

#include <cmath>
#include <functional>
#include <numeric>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace clip::testing {
namespace {

// The finaliser of splitmix64 (Steele, Lea, Flood 2014).
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

uint64_t At(uint64_t key, uint64_t counter) {
  return Mix(key + (counter + 1) * 0x9e3779b97f4a7c15);
}

// 64-bit FNV-1a.
uint64_t HashName(absl::string_view name) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name)
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

// Values are offset + scale * u, u uniform in [-1, 1).
struct Range {
  float offset = 0;
  float scale = 0;
};

Range RangeOf(const TensorSpec& spec) {
  const std::string& name = spec.name;
  if (name == "logit_bias") return {-10, 0.01f};
  if (spec.shape.empty() || name == "logit_scale")
    return {4.6f, 0.01f};  // logit_scale; exp(4.6) is about 100
  if (spec.shape.size() == 1) {
    if (absl::EndsWith(name, "bias")) return {0, 0.1f};
    if (absl::EndsWith(name, "running_mean")) return {0, 0.1f};
    if (absl::EndsWith(name, "running_var")) return {1, 0.5f};
    if (absl::EndsWith(name, "embedding")) return {0, 0.5f};
    return {1, 0.2f};  // a norm's weight
  }
  if (spec.shape.size() == 2 && absl::StrContains(name, "embedding"))
    return {0, 0.5f};
  const bool transposed = name == "text_projection" || name == "visual.proj";
  const int64_t fan_in =
      transposed ? spec.shape[0]
                 : std::accumulate(spec.shape.begin() + 1, spec.shape.end(),
                                   int64_t{1}, std::multiplies<>());
  return {0, static_cast<float>(std::sqrt(3.0 / static_cast<double>(fan_in)))};
}

}  // namespace

std::vector<float> RandomTensor(const TensorSpec& spec, uint64_t seed) {
  const int64_t count = std::accumulate(spec.shape.begin(), spec.shape.end(),
                                        int64_t{1}, std::multiplies<>());
  const uint64_t key = Mix(seed ^ HashName(spec.name));
  const Range range = RangeOf(spec);
  std::vector<float> values(count);
  for (int64_t i = 0; i < count; ++i) {
    // 24 bits, exact in a float; so is u.
    const float u = static_cast<float>(At(key, i) >> 40) * 0x1p-23f - 1;
    const float scaled = range.scale * u;
    values[i] = range.offset + scaled;
  }
  return values;
}

std::vector<uint8_t> RandomCrop(int size, uint64_t seed) {
  constexpr int kTile = 8;
  const uint64_t tiles = Mix(seed ^ HashName("tiles"));
  const uint64_t noise = Mix(seed ^ HashName("noise"));
  std::vector<uint8_t> pixels;
  pixels.reserve(size_t{3} * size * size);
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      for (int c = 0; c < 3; ++c) {
        const uint64_t tile =
            At(tiles, ((y / kTile) * size + x / kTile) * 3 + c) >> 56;
        const uint64_t grain = At(noise, (y * size + x) * 3 + c) >> 56;
        pixels.push_back(static_cast<uint8_t>((3 * tile + grain) / 4));
      }
    }
  }
  return pixels;
}

}  // namespace clip::testing
