#include "zeroshot/scores.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/finite.h"
#include "clip/score_kernels.h"

namespace zeroshot {
namespace {

// The k first in the order of `before`, in that order, of value(0) ...
// value(n - 1). REQUIRES: k <= n.
template <typename Value, typename Before>
auto First(size_t n, size_t k, const Value& value, const Before& before) {
  std::vector<decltype(value(0))> first;
  // Few of many: nearly none of the later ones is better than the worst so far.
  constexpr size_t kFew = 64;
  if (k <= n / kFew) {
    first.reserve(k);
    for (size_t i = 0; i < n; ++i) {
      const auto next = value(i);
      if (first.size() == k) {
        if (k == 0 || !before(next, first.front())) continue;
        std::pop_heap(first.begin(), first.end(), before);
        first.back() = next;
      } else {
        first.push_back(next);
      }
      std::push_heap(first.begin(), first.end(), before);
    }
    std::sort_heap(first.begin(), first.end(), before);
    return first;
  }
  first.resize(n);
  for (size_t i = 0; i < n; ++i) first[i] = value(i);
  if (k < n)
    std::nth_element(first.begin(), first.begin() + k, first.end(), before);
  std::sort(first.begin(), first.begin() + k, before);
  first.resize(k);
  return first;
}

struct Scored {
  float logit;
  int class_index;
};

}  // namespace

absl::StatusOr<Scores> ScoresOf(const stores::WeightSet& set,
                                absl::Span<const float> cosines,
                                const ScoreOptions& options) {
  std::vector<float> logits(cosines.size());
  for (size_t c = 0; c < logits.size(); ++c) {
    logits[c] = options.logit_scale * cosines[c];
  }
  if (!base::AllFinite(logits)) {
    return base::NotFinite(absl::StrCat("the logits of weight set ", set.id));
  }
  const float max = *std::max_element(logits.begin(), logits.end());
  const double sum = clip::ScoreKernels::Best().sum_of_exps(
      logits.data(), static_cast<int64_t>(logits.size()), max);
  const auto probability = [&](float of) {
    return static_cast<float>(std::exp(double{of} - max) / sum);
  };

  const auto better = [](const Scored& a, const Scored& b) {
    return a.logit != b.logit ? a.logit > b.logit
                              : a.class_index < b.class_index;
  };
  const std::vector<Scored> first = First(
      logits.size(),
      std::min(logits.size(), static_cast<size_t>(options.top_k)),
      [&](size_t c) {
        return Scored{logits[c], static_cast<int>(c)};
      },
      better);

  Scores scores;
  for (const Scored& best : first) {
    scores.predictions.push_back({best.class_index,
                                  set.class_names[best.class_index],
                                  probability(best.logit), best.logit});
  }
  if (options.return_probabilities) {
    scores.probabilities.reserve(logits.size());
    for (const float logit : logits) {
      scores.probabilities.push_back(probability(logit));
    }
  }
  return scores;
}

int64_t AnswerBytes(const stores::WeightSet& set, int top_k,
                    bool return_probabilities) {
  // Tags, lengths and numbers of a prediction, but for its name.
  constexpr int64_t kPredictionBytes = 32;
  const size_t n = set.class_names.size();
  // Which names it will be is not known yet: the longest, at worst.
  const std::vector<size_t> longest = First(
      n, std::min<size_t>(top_k, n),
      [&](size_t c) { return set.class_names[c].size(); }, std::greater<>());
  int64_t bytes =
      std::accumulate(longest.begin(), longest.end(),
                      static_cast<int64_t>(longest.size()) * kPredictionBytes);
  if (return_probabilities) bytes += set.num_classes() * int64_t{sizeof(float)};
  return bytes;
}

}  // namespace zeroshot
