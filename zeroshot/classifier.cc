#include "zeroshot/classifier.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "clip/finite.h"

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

absl::StatusOr<Scores> Score(const WeightSet& set,
                             absl::Span<const float> embedding,
                             float logit_scale, int top_k,
                             bool return_probabilities) {
  const int num_classes = set.num_classes();
  const size_t dim = set.embedding_dim;
  std::vector<float> logits(num_classes);
  for (int c = 0; c < num_classes; ++c) {
    logits[c] = logit_scale * Dot(&set.weights[c * dim], embedding.data(), dim);
  }
  if (!clip::AllFinite(logits)) {
    return clip::NotFinite(absl::StrCat("the logits of weight set ", set.id));
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

int64_t AnswerBytes(const WeightSet& set, int top_k,
                    bool return_probabilities) {
  // Tags, lengths and numbers of a prediction, but for its name.
  constexpr int64_t kPredictionBytes = 32;
  const size_t k = std::min<size_t>(top_k, set.class_names.size());
  // Which names it will be is not known yet: the longest, at worst.
  std::vector<size_t> longest;
  longest.reserve(set.class_names.size());
  for (const std::string& name : set.class_names)
    longest.push_back(name.size());
  std::nth_element(longest.begin(), longest.begin() + (k == 0 ? 0 : k - 1),
                   longest.end(), std::greater<>());
  int64_t bytes = std::accumulate(longest.begin(), longest.begin() + k,
                                  static_cast<int64_t>(k) * kPredictionBytes);
  if (return_probabilities) bytes += set.num_classes() * int64_t{sizeof(float)};
  return bytes;
}

absl::StatusOr<std::shared_ptr<const WeightSet>> Classifier::Find(
    const std::string& id) {
  absl::StatusOr<std::shared_ptr<const WeightSet>> set = sets_->Get(id);
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
      Find(call.weight_set_id);
  if (!set.ok()) return set.status();
  sets.push_back(*std::move(set));
  for (const std::string& id : call.more_weight_set_ids) {
    if (absl::Status wanted = caller.StillWaiting(); !wanted.ok()) {
      return wanted;
    }
    set = Find(id);
    if (!set.ok()) return set.status();
    sets.push_back(*std::move(set));
  }
  if (call.admit_answer) {
    int64_t bytes = 0;
    for (const auto& found : sets) {
      bytes += AnswerBytes(*found, call.top_k, call.return_probabilities);
    }
    if (absl::Status admitted = call.admit_answer(bytes); !admitted.ok()) {
      return admitted;
    }
  }
  absl::StatusOr<Embeddings> embeddings =
      embedder_->EmbedImages({call.image}, caller);
  if (!embeddings.ok()) return embeddings.status();
  if (!embeddings->statuses[0].ok()) return embeddings->statuses[0];
  const auto score = [&](const WeightSet& scored) {
    return Score(scored, embeddings->rows, model_->info().logit_scale,
                 call.top_k, call.return_probabilities);
  };
  absl::StatusOr<Scores> scores = score(*sets[0]);
  if (!scores.ok()) return scores.status();
  Answer answer{
      *std::move(scores), {}, embeddings->timing, embeddings->num_cached > 0};
  for (size_t i = 1; i < sets.size(); ++i) {
    scores = score(*sets[i]);
    if (!scores.ok()) return scores.status();
    answer.more.push_back(*std::move(scores));
  }
  return answer;
}

}  // namespace zeroshot
