#include "clip/token_trie.h"

#include <algorithm>

namespace clip {

absl::Span<const int32_t> CutAtPool(absl::Span<const int32_t> sequence,
                                    absl::optional<int32_t> end) {
  if (end.has_value()) {
    const auto found = std::find(sequence.begin(), sequence.end(), *end);
    return sequence.first(
        found == sequence.end() ? 1 : found - sequence.begin() + 1);
  }
  const auto pooled = std::max_element(sequence.begin(),
                                       sequence.end());  // the first of equals
  return sequence.first(pooled - sequence.begin() + 1);
}

TokenTrie WithClassTokens(const TokenTrie& trie, int32_t context,
                          int32_t class_token) {
  TokenTrie out;
  out.offsets.push_back(0);
  const auto add = [&](int32_t token, int32_t depth) {
    const auto node = static_cast<int32_t>(out.tokens.size());
    out.tokens.push_back(token);
    out.depths.push_back(depth);
    return node;
  };
  const auto done = [&] {
    out.offsets.push_back(static_cast<int32_t>(out.ancestors.size()));
  };
  // What is seen of a node's way.
  const auto see_way = [&](int64_t node) {
    int32_t before = 1;
    for (int32_t a = trie.offsets[node]; a < trie.offsets[node + 1]; ++a) {
      if (before != 0) out.ancestors.push_back(trie.ancestors[a]);
      before = trie.tokens[trie.ancestors[a]];
    }
  };
  for (int64_t node = 0; node < trie.num_nodes(); ++node) {
    add(trie.tokens[node], trie.depths[node]);
    see_way(node);
    done();
  }
  for (const int32_t end : trie.ends) {
    const int32_t length = trie.depths[end] + 1;
    const bool seen = trie.tokens[end] != 0;  // what follows it
    int32_t padding = -1;
    if (length < context) {
      padding = add(0, length);
      see_way(end);
      if (seen) out.ancestors.push_back(padding);
      done();
    }
    out.ends.push_back(add(class_token, context));
    see_way(end);
    if (seen) out.ancestors.push_back(padding < 0 ? out.ends.back() : padding);
    done();
  }
  return out;
}

namespace {

// Sorts sequences by tokens, equal ones by their place: a few tokens at a time,
// packed into a number, so that hardly any comparison looks at the tokens.
class Sorter {
 public:
  Sorter(absl::Span<const int32_t> tokens, absl::Span<const int64_t> starts)
      : tokens_(tokens), starts_(starts) {
    const bool fit = std::all_of(tokens.begin(), tokens.end(),
                                 [](int32_t token) { return token < 0xFFFF; });
    bits_ = fit ? 16 : 32;
  }

  std::vector<int64_t> Sorted() const {
    std::vector<Entry> entries(starts_.size() - 1);
    bool begin_alike = true;  // as all from a tokenizer do
    for (size_t i = 0; i < entries.size(); ++i) {
      entries[i].sequence = static_cast<int64_t>(i);
      begin_alike = begin_alike && tokens_[starts_[i]] == tokens_[0];
    }
    Sort(absl::MakeSpan(entries), begin_alike ? 1 : 0);
    std::vector<int64_t> sorted;
    sorted.reserve(entries.size());
    for (const Entry& entry : entries) sorted.push_back(entry.sequence);
    return sorted;
  }

 private:
  struct Entry {
    uint64_t key;
    int64_t sequence;
    bool operator<(const Entry& other) const {
      return key != other.key ? key < other.key : sequence < other.sequence;
    }
  };

  // Of the tokens from `depth` on, in the upper bits the first; 0 where there
  // are none any more, so that a prefix comes before what it begins.
  uint64_t KeyAt(int64_t sequence, int64_t depth) const {
    uint64_t key = 0;
    int shift = 64;
    for (int64_t at = starts_[sequence] + depth, end = starts_[sequence + 1];
         at < end && shift > 0; ++at) {
      shift -= bits_;
      key |= (uint64_t{static_cast<uint32_t>(tokens_[at])} + 1) << shift;
    }
    return key;
  }

  // REQUIRES: the entries' sequences have their first `depth` tokens in common.
  void Sort(absl::Span<Entry> entries, int64_t depth) const {
    for (Entry& entry : entries) entry.key = KeyAt(entry.sequence, depth);
    std::sort(entries.begin(), entries.end());
    const uint64_t last_token = (uint64_t{1} << bits_) - 1;
    for (size_t begin = 0, end = 0; begin < entries.size(); begin = end) {
      const uint64_t key = entries[begin].key;
      while (end < entries.size() && entries[end].key == key) ++end;
      // Equal so far, and there is more.
      if (end - begin > 1 && (key & last_token) != 0)
        Sort(entries.subspan(begin, end - begin), depth + 64 / bits_);
    }
  }

  const absl::Span<const int32_t> tokens_;
  const absl::Span<const int64_t> starts_;
  int bits_;  // of a token in a key
};

// What a step will hold, so that its arrays are made once, of the right size.
struct StepSize {
  int64_t nodes = 0, ancestors = 0, ends = 0;
  std::vector<int64_t> shared;  // of each sequence, with the one before it

  // Adds a sequence of so many tokens.
  void Add(int64_t length, int64_t shared_tokens) {
    nodes += length - shared_tokens;
    // A node at depth d has d + 1.
    ancestors +=
        (length * (length + 1) - shared_tokens * (shared_tokens + 1)) / 2;
    if (length > shared_tokens) ++ends;
    shared.push_back(shared_tokens);
  }
};

// Fills a step with sequences in sorted order.
class StepWriter {
 public:
  StepWriter(const StepSize& size, TextStep* step) : step_(step) {
    TokenTrie& trie = step->trie;
    trie.tokens.resize(size.nodes);
    trie.depths.resize(size.nodes);
    trie.offsets.resize(size.nodes + 1);
    trie.ancestors.resize(size.ancestors);
    trie.ends.reserve(size.ends);
    step->members.reserve(size.shared.size());
  }

  void Add(int64_t sequence, absl::Span<const int32_t> tokens, int64_t shared) {
    TokenTrie& trie = step_->trie;
    const int64_t length = static_cast<int64_t>(tokens.size());
    path_.resize(length);
    for (int64_t depth = shared; depth < length; ++depth) {
      trie.tokens[node_] = tokens[depth];
      trie.depths[node_] = static_cast<int32_t>(depth);
      path_[depth] = static_cast<int32_t>(node_);
      const int32_t begin = trie.offsets[node_];
      std::copy_n(path_.begin(), depth + 1, trie.ancestors.begin() + begin);
      trie.offsets[++node_] = begin + static_cast<int32_t>(depth) + 1;
    }
    // Equal sequences end in one place.
    if (length > shared) trie.ends.push_back(path_.back());
    step_->members.push_back({sequence, trie.num_ends() - 1});
  }

 private:
  TextStep* const step_;
  int64_t node_ = 0;           // the next
  std::vector<int32_t> path_;  // the nodes of the sequence added last
};

}  // namespace

TrieSteps::TrieSteps(absl::Span<const absl::Span<const int32_t>> sequences,
                     int64_t max_nodes, int64_t padded, int64_t behind)
    : max_nodes_(max_nodes), padded_(padded), behind_(behind) {
  size_t total = 0;
  for (const absl::Span<const int32_t> sequence : sequences)
    total += sequence.size();
  tokens_.reserve(total);
  starts_.reserve(sequences.size() + 1);
  starts_.push_back(0);
  for (const absl::Span<const int32_t> sequence : sequences) {
    tokens_.insert(tokens_.end(), sequence.begin(), sequence.end());
    starts_.push_back(static_cast<int64_t>(tokens_.size()));
  }
  sorted_ = Sorter(tokens_, starts_).Sorted();
}

absl::optional<TextStep> TrieSteps::Next() {
  if (next_ == sorted_.size()) return absl::nullopt;
  StepSize size;
  absl::Span<const int32_t> previous;
  int64_t nodes = 0;
  size_t end = next_;
  for (; end < sorted_.size(); ++end) {
    const absl::Span<const int32_t> tokens = Tokens(sorted_[end]);
    // In sorted order the previous sequence shares the longest prefix.
    const int64_t shared = std::mismatch(tokens.begin(), tokens.end(),
                                         previous.begin(), previous.end())
                               .first -
                           tokens.begin();
    const int64_t length = static_cast<int64_t>(tokens.size());
    const int64_t more = length == shared        ? 0
                         : padded_ == kOwnLength ? length
                         : padded_ > 0           ? padded_
                                                 : length - shared + behind_;
    if (end > next_ && nodes + more > max_nodes_) break;
    nodes += more;
    size.Add(length, shared);
    previous = tokens;
  }
  absl::optional<TextStep> step(absl::in_place);
  step->nodes = nodes;
  StepWriter writer(size, &*step);
  size_t at = next_;
  for (const int64_t shared : size.shared) {
    writer.Add(sorted_[at], Tokens(sorted_[at]), shared);
    ++at;
  }
  next_ = at;  // nothing throws any more: no sequence can be left out
  return step;
}

}  // namespace clip
