#include "zeroshot/scores.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>
#include <optional>
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

// What the rows of a set score with one embedding. Numbers are made of cosines
// in double, so that a temperature does not magnify the rounding of logits.
class RowScores {
 public:
  // Borrows both. `best` is the cosine of the largest logit.
  RowScores(const stores::WeightSet& set, absl::Span<const float> cosines,
            const clip::Head& head, float best)
      : set_(set),
        cosines_(cosines),
        head_(head),
        best_(best),
        per_cosine_(head.scale / double{set.temperature}) {
    if (head.score_function == clip::ScoreFunction::kSoftmax) sum_ = Sum();
  }

  float Logit(size_t row) const {
    return static_cast<float>(head_.scale * double{cosines_[row]} + head_.bias);
  }

  double Probability(size_t row) const {
    if (head_.score_function == clip::ScoreFunction::kSoftmax) {
      return std::exp(BelowBest(row)) / sum_;
    }
    const double logit = head_.scale * double{cosines_[row]} + head_.bias;
    return 1 / (1 + std::exp(-logit / set_.temperature));
  }

  // Of several rows together, from their probabilities.
  void Join(double probability, double* joined) const {
    *joined = head_.score_function == clip::ScoreFunction::kSoftmax
                  ? *joined + probability
                  : std::max(*joined, probability);
  }

 private:
  // (logit - largest logit) / temperature.
  double BelowBest(size_t row) const {
    return (cosines_[row] - best_) * per_cosine_;
  }

  double Sum() const {
    // Far below what counts, and a float.
    constexpr double kLowest = -1000;
    std::vector<float> exponents(cosines_.size());
    for (size_t row = 0; row < exponents.size(); ++row) {
      exponents[row] = static_cast<float>(std::max(kLowest, BelowBest(row)));
    }
    return clip::ScoreKernels::Best().sum_of_exps(
        exponents.data(), static_cast<int64_t>(exponents.size()), 0);
  }

  const stores::WeightSet& set_;
  const absl::Span<const float> cosines_;
  const clip::Head& head_;
  const double best_;
  const double per_cosine_;  // what a cosine adds to logit / temperature
  double sum_ = 0;           // of exponentials, for softmax
};

// As a float; a sum's rounding does not make it more than certain.
float AtMostOne(double probability) {
  return static_cast<float>(std::min(probability, 1.0));
}

std::vector<GroupScore> GroupScores(const stores::WeightSet& set,
                                    const RowScores& rows) {
  std::vector<double> joined(set.group_names.size());
  for (size_t c = 0; c < set.group_of.size(); ++c) {
    if (set.group_of[c] < 0) continue;
    rows.Join(rows.Probability(c), &joined[set.group_of[c]]);
  }
  std::vector<int> order(joined.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return joined[a] > joined[b]; });
  std::vector<GroupScore> groups;
  groups.reserve(order.size());
  for (const int g : order) {
    groups.push_back({set.group_names[g], AtMostOne(joined[g])});
  }
  return groups;
}

}  // namespace

absl::StatusOr<Scores> ScoresOf(const stores::WeightSet& set,
                                absl::Span<const float> cosines,
                                const ScoreOptions& options) {
  const clip::Head& head = options.head;
  const auto [least, most] =
      std::minmax_element(cosines.begin(), cosines.end());
  const float best = head.scale < 0 ? *least : *most;
  const RowScores rows(set, cosines, head, best);
  const float ends[] = {rows.Logit(least - cosines.begin()),
                        rows.Logit(most - cosines.begin())};
  if (!base::AllFinite(cosines) || !base::AllFinite(ends)) {
    return base::NotFinite(absl::StrCat("the logits of weight set ", set.id));
  }

  const auto better = [](const Scored& a, const Scored& b) {
    return a.logit != b.logit ? a.logit > b.logit
                              : a.class_index < b.class_index;
  };
  const size_t num_classes = set.class_names.size();
  const std::vector<Scored> first = First(
      num_classes, std::min(num_classes, static_cast<size_t>(options.top_k)),
      [&](size_t c) {
        return Scored{rows.Logit(c), static_cast<int>(c)};
      },
      better);

  Scores scores;
  for (const auto& [logit, c] : first) {
    const auto probability = static_cast<float>(rows.Probability(c));
    std::optional<float> threshold = options.min_probability;
    if (!set.min_probabilities.empty() &&
        set.min_probabilities[c].has_value()) {
      threshold = set.min_probabilities[c];
    }
    scores.predictions.push_back(
        {c, set.class_names[c], probability, logit, cosines[c],
         !threshold.has_value() || probability >= *threshold});
  }
  if (options.return_probabilities) {
    scores.probabilities.reserve(num_classes);
    for (size_t c = 0; c < num_classes; ++c) {
      scores.probabilities.push_back(static_cast<float>(rows.Probability(c)));
    }
  }
  scores.groups = GroupScores(set, rows);
  double other = 0;
  for (size_t row = num_classes; row < cosines.size(); ++row) {
    rows.Join(rows.Probability(row), &other);
  }
  scores.other_probability = AtMostOne(other);
  return scores;
}

int64_t AnswerBytes(const stores::WeightSet& set, int top_k,
                    bool return_probabilities) {
  // Tags, lengths and numbers of a prediction, but for its name.
  constexpr int64_t kPredictionBytes = 40;
  constexpr int64_t kGroupBytes = 16;  // of a group, likewise
  const size_t n = set.class_names.size();
  // Which names it will be is not known yet: the longest, at worst.
  const std::vector<size_t> longest = First(
      n, std::min<size_t>(top_k, n),
      [&](size_t c) { return set.class_names[c].size(); }, std::greater<>());
  int64_t bytes =
      std::accumulate(longest.begin(), longest.end(),
                      static_cast<int64_t>(longest.size()) * kPredictionBytes);
  for (const std::string& group : set.group_names) {
    bytes += kGroupBytes + static_cast<int64_t>(group.size());
  }
  if (return_probabilities) bytes += set.num_classes() * int64_t{sizeof(float)};
  return bytes;
}

}  // namespace zeroshot
