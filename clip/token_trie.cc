#include "clip/token_trie.h"

#include <algorithm>

namespace clip {

absl::Span<const int32_t> CutAtPool(absl::Span<const int32_t> sequence) {
  const auto pooled = std::max_element(sequence.begin(),
                                       sequence.end());  // the first of equals
  return sequence.first(pooled - sequence.begin() + 1);
}

namespace {

// `path`: the nodes of the sequence added before, which has the first `shared`
// tokens in common; then those of this one.
void AddSequence(absl::Span<const int32_t> tokens, int64_t shared,
                 std::vector<int32_t>* path, TokenTrie* trie) {
  path->resize(shared);
  for (size_t depth = shared; depth < tokens.size(); ++depth) {
    path->push_back(static_cast<int32_t>(trie->num_nodes()));
    trie->tokens.push_back(tokens[depth]);
    trie->depths.push_back(static_cast<int32_t>(depth));
    trie->ancestors.insert(trie->ancestors.end(), path->begin(), path->end());
    trie->offsets.push_back(static_cast<int32_t>(trie->ancestors.size()));
  }
  trie->ends.push_back(path->back());
}

}  // namespace

TrieSteps::TrieSteps(absl::Span<const absl::Span<const int32_t>> sequences,
                     int64_t max_nodes)
    : max_nodes_(max_nodes) {
  sorted_.reserve(sequences.size());
  for (size_t i = 0; i < sequences.size(); ++i)
    sorted_.push_back({sequences[i], static_cast<int64_t>(i)});
  std::sort(sorted_.begin(), sorted_.end(), [](const Entry& a, const Entry& b) {
    const auto [x, y] = std::mismatch(a.tokens.begin(), a.tokens.end(),
                                      b.tokens.begin(), b.tokens.end());
    if (y == b.tokens.end())
      return x == a.tokens.end() && a.sequence < b.sequence;
    return x == a.tokens.end() || *x < *y;
  });
}

absl::optional<TextStep> TrieSteps::Next() {
  if (next_ == sorted_.size()) return absl::nullopt;
  TextStep step;
  step.trie.offsets.push_back(0);
  Tokens previous;
  std::vector<int32_t> path;  // the nodes of `previous`
  for (; next_ < sorted_.size(); ++next_) {
    const Tokens tokens = sorted_[next_].tokens;
    // In sorted order the previous sequence shares the longest prefix.
    const int64_t shared = std::mismatch(tokens.begin(), tokens.end(),
                                         previous.begin(), previous.end())
                               .first -
                           tokens.begin();
    const int64_t added = static_cast<int64_t>(tokens.size()) - shared;
    if (!step.members.empty() && step.trie.num_nodes() + added > max_nodes_)
      break;
    if (added > 0) AddSequence(tokens, shared, &path, &step.trie);
    step.members.push_back({sorted_[next_].sequence, step.trie.num_ends() - 1});
    previous = tokens;
  }
  return step;
}

}  // namespace clip
