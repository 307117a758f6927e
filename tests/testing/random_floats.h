// Normally distributed numbers for tests of kernels.
#ifndef ZEROSHOT_TESTS_TESTING_RANDOM_FLOATS_H_
#define ZEROSHOT_TESTS_TESTING_RANDOM_FLOATS_H_

#include <cstdint>
#include <random>
#include <vector>

namespace clip {

using Floats = std::vector<float>;

// The same ones for the same seed.
inline Floats Random(int64_t n, unsigned seed, float scale = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  Floats values(n);
  for (float& value : values) value = normal(random);
  return values;
}

}  // namespace clip

#endif  // ZEROSHOT_TESTS_TESTING_RANDOM_FLOATS_H_
