// One embedding against a weight set of many classes: logits, softmax, the
// best five.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <random>
#include <vector>

#include "zeroshot/classifier.h"
#include "zeroshot/weight_set.h"

namespace {

void Score(benchmark::State& state) {
  const int classes = state.range(0), dim = state.range(1);
  std::minstd_rand random(1);
  const auto value = [&] {
    return static_cast<float>(random() % 2001) / 1000.0f - 1.0f;
  };
  zeroshot::WeightSet set;
  set.class_names.resize(classes);
  set.embedding_dim = dim;
  set.weights.resize(int64_t{classes} * dim);
  for (float& weight : set.weights) weight = value() * 0.06f;
  std::vector<float> embedding(dim);
  for (float& x : embedding) x = value() * 0.06f;
  for (auto _ : state) {
    benchmark::DoNotOptimize(zeroshot::Score(set, embedding, 100.0f, 5,
                                             state.range(2) != 0));
  }
  state.SetLabel(state.range(2) != 0 ? "all probabilities" : "top 5");
  state.SetBytesProcessed(state.iterations() * set.weights.size() *
                          sizeof(float));
}

BENCHMARK(Score)
    ->Args({1000, 512, 0})
    ->Args({100'000, 768, 0})
    ->Args({100'000, 768, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
