#include "clip/text_plan.h"

#include <algorithm>
#include <numeric>

namespace clip {
namespace {

using Tokens = absl::Span<const int32_t>;

// `sequence` up to the token that it is pooled at.
Tokens CutAtPool(const std::vector<int32_t>& sequence) {
  const auto pooled = std::max_element(sequence.begin(),
                                       sequence.end());  // the first of equals
  return Tokens(sequence).first(pooled - sequence.begin() + 1);
}

bool ShorterOrBefore(Tokens a, Tokens b) {
  if (a.size() != b.size()) return a.size() < b.size();
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}

}  // namespace

TextPlan PlanText(absl::Span<const std::vector<int32_t>> sequences,
                  int64_t max_positions) {
  std::vector<Tokens> tokens;
  tokens.reserve(sequences.size());
  for (const std::vector<int32_t>& sequence : sequences)
    tokens.push_back(CutAtPool(sequence));
  std::vector<int64_t> order(tokens.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return ShorterOrBefore(tokens[a], tokens[b]);
  });

  TextPlan plan;
  plan.row_of.resize(tokens.size());
  for (const int64_t i : order) {
    if (plan.rows.empty() || plan.rows.back() != tokens[i]) {
      plan.rows.push_back(tokens[i]);
      plan.sequences.push_back(0);
    }
    plan.row_of[i] = static_cast<int64_t>(plan.rows.size()) - 1;
    ++plan.sequences.back();
  }
  for (int64_t row = 0; row < static_cast<int64_t>(plan.rows.size()); ++row) {
    const int64_t length =
        static_cast<int64_t>(plan.rows[row].size());  // the longest so far
    if (plan.steps.empty() ||
        (row + 1 - plan.steps.back().begin) * length > max_positions) {
      plan.steps.push_back({row, row, 0});
    }
    plan.steps.back().end = row + 1;
    plan.steps.back().length = length;
  }
  return plan;
}

}  // namespace clip
