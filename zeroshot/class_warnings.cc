#include "zeroshot/class_warnings.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"

namespace zeroshot {
namespace {

// Equal tokens in steps of other sizes differ by rounding only; of unit
// vectors, different words never by so little.
constexpr float kRounding = 1e-6f;

bool AreEqual(const float* a, const float* b, int dim) {
  for (int d = 0; d < dim; ++d) {
    if (!(std::abs(a[d] - b[d]) <= kRounding)) return false;
  }
  return true;
}

}  // namespace

std::vector<std::string> EqualVectorWarnings(const stores::WeightSet& set,
                                             size_t most) {
  std::vector<std::string> warnings;
  const int dim = set.embedding_dim;
  if (set.weights.size() != size_t{1} * set.num_rows() * dim || dim == 0)
    return warnings;
  const auto row = [&](int c) { return &set.weights[size_t{1} * c * dim]; };
  // Equal ones come to lie next to each other, but for rounding.
  std::vector<int> order(set.num_rows());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return *row(a) < *row(b); });
  std::vector<std::pair<int, int>> pairs;
  std::vector<bool> told(order.size());
  for (size_t i = 0; i < order.size() && pairs.size() < most; ++i) {
    const int a = order[i];
    if (told[a]) continue;
    // How many lie so near is bounded, so that no set takes long.
    constexpr size_t kNear = 64;
    for (size_t j = i + 1; j < std::min(i + kNear, order.size()); ++j) {
      const int b = order[j];
      if (*row(b) - *row(a) > kRounding) break;
      if (told[b] || set.row_name(a) == set.row_name(b) ||
          !AreEqual(row(a), row(b), dim)) {
        continue;
      }
      told[b] = true;
      pairs.emplace_back(std::min(a, b), std::max(a, b));
      if (pairs.size() == most) break;
    }
  }
  std::sort(pairs.begin(), pairs.end());
  for (const auto& [a, b] : pairs) {
    const int c = set.num_classes();
    const std::string places =
        b < c   ? absl::StrCat("classes ", a, " and ", b)
        : a < c ? absl::StrCat("class ", a, " and background[", b - c, "]")
                : absl::StrCat("background[", a - c, "] and background[", b - c,
                               "]");
    warnings.push_back(absl::StrCat(
        places, ", ", base::Quoted(set.row_name(a)), " and ",
        base::Quoted(set.row_name(b)),
        ", are the same to the model: they share their probability"));
  }
  return warnings;
}

std::vector<std::string> UnseenWordWarnings(const ResolvedSpec& spec,
                                            const clip::ModelInfo& model,
                                            size_t most) {
  std::vector<std::string> warnings;
  const std::vector<int32_t>& unseen = model.unseen_tokens;
  if (unseen.empty()) return warnings;
  const auto is_unseen = [&](int32_t id) {
    return std::binary_search(unseen.begin(), unseen.end(), id);
  };
  for (int row = 0; row < spec.num_rows() && warnings.size() < most; ++row) {
    if (!spec.own_prompts(row).empty() || spec.num_prompts(row) == 0) continue;
    const auto ids = model.tokenizer->Encode(spec.name(row));
    // The first and the last are no words.
    if (!ids.ok() || ids->size() <= 2) continue;
    if (!std::all_of(ids->begin() + 1, ids->end() - 1, is_unseen)) continue;
    warnings.push_back(absl::StrCat(
        row < spec.num_classes() ? "class name " : "background ",
        base::Quoted(spec.name(row)),
        " has no word that this model was trained on: its score says "
        "nothing"));
  }
  return warnings;
}

}  // namespace zeroshot
