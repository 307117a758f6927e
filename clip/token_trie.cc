#include "clip/token_trie.h"

#include <algorithm>

namespace clip {

absl::Span<const int32_t> CutAtPool(absl::Span<const int32_t> sequence) {
  const auto pooled = std::max_element(sequence.begin(),
                                       sequence.end());  // the first of equals
  return sequence.first(pooled - sequence.begin() + 1);
}

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

bool TrieSteps::Next() {
  trie_ = TokenTrie();
  trie_.offsets.push_back(0);
  members_.clear();
  Tokens previous;
  for (; next_ < sorted_.size(); ++next_) {
    const Tokens tokens = sorted_[next_].tokens;
    // In sorted order the previous sequence shares the longest prefix.
    const int64_t shared = std::mismatch(tokens.begin(), tokens.end(),
                                         previous.begin(), previous.end())
                               .first -
                           tokens.begin();
    const int64_t added = static_cast<int64_t>(tokens.size()) - shared;
    if (!members_.empty() && trie_.num_nodes() + added > max_nodes_) break;
    if (added > 0) Add(tokens, shared);
    members_.push_back({sorted_[next_].sequence, trie_.num_ends() - 1});
    previous = tokens;
  }
  return !members_.empty();
}

void TrieSteps::Add(Tokens tokens, int64_t shared) {
  path_.resize(shared);
  for (size_t depth = shared; depth < tokens.size(); ++depth) {
    path_.push_back(static_cast<int32_t>(trie_.num_nodes()));
    trie_.tokens.push_back(tokens[depth]);
    trie_.depths.push_back(static_cast<int32_t>(depth));
    trie_.ancestors.insert(trie_.ancestors.end(), path_.begin(), path_.end());
    trie_.offsets.push_back(static_cast<int32_t>(trie_.ancestors.size()));
  }
  trie_.ends.push_back(path_.back());
}

}  // namespace clip
