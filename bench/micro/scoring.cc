// Embeddings against a weight set of many classes: cosines, softmax, the best
// five; one caller alone, and 32 at once who share what they can.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <random>
#include <vector>

#include "stores/weight_set.h"
#include "zeroshot/scorer.h"
#include "zeroshot/scores.h"

namespace {

std::vector<float> Values(size_t count) {
  std::minstd_rand random(1);
  std::vector<float> values = stores::MakeWeights(count);
  for (float& value : values) {
    value = (static_cast<float>(random() % 2001) / 1000.0f - 1.0f) * 0.06f;
  }
  return values;
}

stores::WeightSet MakeSet(int classes, int dim) {
  stores::WeightSet set;
  set.class_names.resize(classes);
  set.embedding_dim = dim;
  set.weights = Values(int64_t{1} * classes * dim);
  return set;
}

void Score(benchmark::State& state) {
  const stores::WeightSet set = MakeSet(state.range(0), state.range(1));
  const std::vector<float> embedding = Values(set.embedding_dim);
  zeroshot::Scorer scorer;
  const int top_k = state.range(2);
  const bool all = state.range(3) != 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(*zeroshot::ScoresOf(
        set, scorer.Cosines(set, embedding), {{.scale = 100}, top_k, all}));
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

// What 32 Classify calls inside do once they have their embeddings.
void ScoreTogether(benchmark::State& state) {
  static stores::WeightSet set;
  static zeroshot::Scorer scorer;
  if (state.thread_index() == 0) set = MakeSet(state.range(0), state.range(1));
  const std::vector<float> embedding = Values(state.range(1));
  for (auto _ : state) {
    benchmark::DoNotOptimize(zeroshot::AnswerBytes(set, 5, false));
    benchmark::DoNotOptimize(*zeroshot::ScoresOf(
        set, scorer.Cosines(set, embedding), {{.scale = 100}, 5, false}));
  }
  state.SetItemsProcessed(state.iterations());
}

BENCHMARK(ScoreTogether)
    ->Args({100'000, 128})
    ->Args({100'000, 512})
    ->Args({100'000, 768})
    ->Threads(32)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
