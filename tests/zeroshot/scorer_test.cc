#include "zeroshot/scorer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <random>
#include <thread>
#include <vector>

#include "clip/score_kernels.h"

namespace zeroshot {
namespace {

using ::testing::SizeIs;

std::vector<float> Random(size_t count, int seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

stores::WeightSet RandomSet(int classes, int dim) {
  stores::WeightSet set;
  set.class_names.resize(classes);
  set.embedding_dim = dim;
  set.weights = Random(size_t{1} * classes * dim, 1);
  return set;
}

double Dot(const float* a, const float* b, int n) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += double{a[i]} * b[i];
  return sum;
}

TEST(ScoreKernelsTest, EachInstructionSetAgreesWithADoublePrecisionLoop) {
  for (const clip::ScoreKernels* kernels : clip::ScoreKernels::Supported()) {
    for (const int dim : {1, 7, 16, 64, 100}) {
      for (const int n : {1, 3, 4, 9}) {
        constexpr int kRows = 37;
        const std::vector<float> rows = Random(kRows * dim, 2);
        const std::vector<float> xs = Random(n * dim, 3);
        std::vector<float> products(n * kRows);
        std::vector<const float*> in;
        std::vector<float*> out;
        for (int x = 0; x < n; ++x) {
          in.push_back(&xs[x * dim]);
          out.push_back(&products[x * kRows]);
        }
        kernels->dot_products(rows.data(), kRows, dim, in.data(), n,
                              out.data());
        for (int x = 0; x < n; ++x) {
          for (int row = 0; row < kRows; ++row) {
            ASSERT_NEAR(products[x * kRows + row],
                        Dot(&xs[x * dim], &rows[row * dim], dim), 1e-4)
                << kernels->instruction_set << " dim " << dim << " n " << n;
          }
        }
      }
    }
  }
}

TEST(ScoreKernelsTest, SumsOfExpsAreThoseOfDoubles) {
  for (const clip::ScoreKernels* kernels : clip::ScoreKernels::Supported()) {
    for (const int n : {1, 5, 64, 1001, 100'000}) {
      const std::vector<float> x = Random(n, 4);
      double expected = 0;
      for (const float value : x) expected += std::exp(double{value} - 6);
      EXPECT_NEAR(kernels->sum_of_exps(x.data(), n, 6) / expected, 1, 1e-6)
          << kernels->instruction_set << " n " << n;
    }
  }
}

TEST(ScorerTest, AnImagesCosinesDoNotDependOnItsNeighbours) {
  constexpr int kDim = 50, kClasses = 333;
  const stores::WeightSet set = RandomSet(kClasses, kDim);
  const std::vector<float> images = Random(7 * kDim, 5);
  Scorer scorer;
  const std::vector<float> together = scorer.Cosines(set, images);
  ASSERT_THAT(together, SizeIs(7 * kClasses));
  for (int i = 0; i < 7; ++i) {
    const std::vector<float> alone = scorer.Cosines(
        set, absl::MakeConstSpan(images).subspan(i * kDim, kDim));
    for (int c = 0; c < kClasses; ++c) {
      ASSERT_EQ(alone[c], together[i * kClasses + c]);
    }
  }
}

// Whoever computes it, each gets its own answer. Rounds go on until some have
// shared a product.
TEST(ScorerTest, CallersOfALargeSetShareProducts) {
  constexpr int kDim = 64, kClasses = 20'000, kThreads = 16, kRounds = 500;
  const stores::WeightSet set = RandomSet(kClasses, kDim);
  ASSERT_GT(set.weights.size(), Scorer::kSmallSet);
  Scorer scorer;
  std::atomic<int> calls{0};
  std::atomic<bool> shared{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const std::vector<float> image = Random(kDim, 100 + t);
      for (int round = 0; round < kRounds && !shared; ++round) {
        const std::vector<float> cosines = scorer.Cosines(set, image);
        for (const int c : {0, 777, kClasses - 1}) {
          EXPECT_NEAR(cosines[c],
                      Dot(image.data(), &set.weights[c * kDim], kDim), 1e-4);
        }
        // All calls counted here had their products before.
        if (++calls > scorer.products()) shared = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LT(scorer.products(), calls);
}

}  // namespace
}  // namespace zeroshot
