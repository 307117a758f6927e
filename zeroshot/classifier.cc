#include "zeroshot/classifier.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace zeroshot {
namespace {

// A fixed number of partial sums lets the compiler use vector registers
// without changing the order of additions from call to call.
float Dot(const float* a, const float* b, size_t n) {
  constexpr size_t kLanes = 16;
  float sums[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      sums[lane] += a[i + lane] * b[i + lane];
    }
  }
  for (; i < n; ++i) sums[i % kLanes] += a[i] * b[i];
  return std::accumulate(sums, sums + kLanes, 0.0f);
}

}  // namespace

Answer Score(const WeightSet& set, absl::Span<const float> embedding,
             float logit_scale, int top_k, bool return_probabilities) {
  const int num_classes = set.num_classes();
  const size_t dim = set.embedding_dim;
  std::vector<float> logits(num_classes);
  for (int c = 0; c < num_classes; ++c) {
    logits[c] = logit_scale * Dot(&set.weights[c * dim], embedding.data(), dim);
  }
  const float max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit} - max);
  const auto probability = [&](float logit) {
    return static_cast<float>(std::exp(double{logit} - max) / sum);
  };

  std::vector<int> order(num_classes);
  std::iota(order.begin(), order.end(), 0);
  const int k = std::min(top_k, num_classes);
  std::partial_sort(
      order.begin(), order.begin() + k, order.end(), [&](int a, int b) {
        return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
      });
  Answer answer;
  for (int i = 0; i < k; ++i) {
    const int c = order[i];
    answer.predictions.push_back(
        {c, set.class_names[c], probability(logits[c]), logits[c]});
  }
  if (return_probabilities) {
    for (const float logit : logits) {
      answer.probabilities.push_back(probability(logit));
    }
  }
  return answer;
}

absl::StatusOr<Answer> Classifier::Classify(const ClassifyCall& call,
                                            const Caller& caller) {
  absl::StatusOr<std::shared_ptr<const WeightSet>> set =
      store_->Get(call.weight_set_id);
  if (!set.ok()) return set.status();
  const clip::ModelInfo& info = model_->info();
  if ((*set)->model_fingerprint != info.fingerprint) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the weight set was built with model ", (*set)->model_fingerprint,
        ", this server has ", info.fingerprint, ": build it again"));
  }
  absl::StatusOr<Embeddings> embeddings =
      embedder_->EmbedImages({call.image}, caller);
  if (!embeddings.ok()) return embeddings.status();
  if (!embeddings->statuses[0].ok()) return embeddings->statuses[0];
  Answer answer = Score(**set, embeddings->rows, info.logit_scale, call.top_k,
                        call.return_probabilities);
  answer.timing = embeddings->timing;
  return answer;
}

}  // namespace zeroshot
