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
  set.weights = zeroshot::MakeWeights(int64_t{classes} * dim);
  for (float& weight : set.weights) weight = value() * 0.06f;
  std::vector<float> embedding(dim);
  for (float& x : embedding) x = value() * 0.06f;
  const int top_k = state.range(2);
  const bool all = state.range(3) != 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        *zeroshot::Score(set, embedding, 100.0f, top_k, all));
  }
  state.SetLabel(all ? "all probabilities" : "best ones");
  state.SetBytesProcessed(state.iterations() * set.weights.size() *
                          sizeof(float));
}

BENCHMARK(Score)
    ->Args({1000, 512, 5, 0})
    ->Args({100'000, 768, 5, 0})
    ->Args({100'000, 768, 1000, 0})
    ->Args({100'000, 768, 100'000, 0})
    ->Args({100'000, 768, 5, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
