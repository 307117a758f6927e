#include "zeroshot/classifier.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <utility>

#include "absl/status/status.h"

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

struct Scored {
  float logit;
  int class_index;
};

// The k best, best first; ties by class index.
std::vector<Scored> Best(const std::vector<float>& logits, int k) {
  std::vector<Scored> scored(logits.size());
  for (size_t c = 0; c < logits.size(); ++c) {
    scored[c] = {logits[c], static_cast<int>(c)};
  }
  const auto better = [](const Scored& a, const Scored& b) {
    return a.logit != b.logit ? a.logit > b.logit
                              : a.class_index < b.class_index;
  };
  // A heap of k is the quicker one while k is small.
  constexpr size_t kFew = 64;
  const auto end = scored.begin() + k;
  if (k <= scored.size() / kFew) {
    std::partial_sort(scored.begin(), end, scored.end(), better);
  } else {
    if (k < scored.size()) {
      std::nth_element(scored.begin(), end, scored.end(), better);
    }
    std::sort(scored.begin(), end, better);
  }
  scored.resize(k);
  return scored;
}

}  // namespace

Scores Score(const WeightSet& set, absl::Span<const float> embedding,
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

  Scores answer;
  for (const Scored& best : Best(logits, std::min(top_k, num_classes))) {
    answer.predictions.push_back({best.class_index,
                                  set.class_names[best.class_index],
                                  probability(best.logit), best.logit});
  }
  if (return_probabilities) {
    for (const float logit : logits) {
      answer.probabilities.push_back(probability(logit));
    }
  }
  return answer;
}

absl::StatusOr<std::shared_ptr<const WeightSet>> Classifier::Find(
    const std::string& id, const Caller& caller) {
  absl::StatusOr<std::shared_ptr<const WeightSet>> set =
      sets_->Find(id, caller);
  if (!set.ok()) return set.status();
  absl::Status own = CheckModel(**set, model_->info().fingerprint);
  if (!own.ok()) return own;
  return set;
}

absl::StatusOr<Answer> Classifier::Classify(const ClassifyCall& call,
                                            const Caller& caller) {
  // All of them before the picture, so that a wrong id costs no image pass.
  std::vector<std::shared_ptr<const WeightSet>> sets;
  sets.reserve(1 + call.more_weight_set_ids.size());
  absl::StatusOr<std::shared_ptr<const WeightSet>> set =
      Find(call.weight_set_id, caller);
  if (!set.ok()) return set.status();
  sets.push_back(*std::move(set));
  for (const std::string& id : call.more_weight_set_ids) {
    if (absl::Status wanted = caller.StillWaiting(); !wanted.ok()) {
      return wanted;
    }
    set = Find(id, caller);
    if (!set.ok()) return set.status();
    sets.push_back(*std::move(set));
  }
  absl::StatusOr<Embeddings> embeddings =
      embedder_->EmbedImages({call.image}, caller);
  if (!embeddings.ok()) return embeddings.status();
  if (!embeddings->statuses[0].ok()) return embeddings->statuses[0];
  const auto score = [&](const WeightSet& scored) {
    return Score(scored, embeddings->rows, model_->info().logit_scale,
                 call.top_k, call.return_probabilities);
  };
  Answer answer{
      score(*sets[0]), {}, embeddings->timing, embeddings->num_cached > 0};
  for (size_t i = 1; i < sets.size(); ++i) {
    answer.more.push_back(score(*sets[i]));
  }
  return answer;
}

}  // namespace zeroshot
