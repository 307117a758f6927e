// Prompts folded into shared prefixes.
//
// The text tower is causal: what it computes for a token depends on the tokens
// before it only. So prompts that begin alike share that beginning, and every
// distinct prefix goes through the tower once, exactly. ImageNet's 1000 x 80
// prompts are 6,160,000 tokens when padded, 769,212 without padding, and
// 328,378 distinct prefixes.
//
// Only for causal towers; others pad (clip/torch/text_tower.h).
#ifndef ZEROSHOT_CLIP_TOKEN_TRIE_H_
#define ZEROSHOT_CLIP_TOKEN_TRIE_H_

#include <cstdint>
#include <vector>

#include "absl/types/optional.h"
#include "absl/types/span.h"

namespace clip {

// `sequence` up to the token that it is pooled at: its first highest id
// (openai/CLIP's model.py, encode_text: text.argmax) or, if that is set, its
// first `end`, and where it has none its first token. What is behind that
// changes nothing. REQUIRES: not empty.
absl::Span<const int32_t> CutAtPool(
    absl::Span<const int32_t> sequence,
    absl::optional<int32_t> end = absl::nullopt);

// A set of prefixes: one node each, parents before children. Arrays are by
// node unless said otherwise.
struct TokenTrie {
  std::vector<int32_t> tokens;  // the last token of the prefix
  std::vector<int32_t> depths;  // tokens before it, its position
  // The nodes of the prefix's own prefixes, shortest first, itself last:
  // ancestors[offsets[node]] ... ancestors[offsets[node + 1] - 1].
  std::vector<int32_t> offsets;  // [nodes + 1]
  std::vector<int32_t> ancestors;
  std::vector<int32_t> ends;  // [distinct sequences] where each one ends

  int64_t num_nodes() const { return static_cast<int64_t>(tokens.size()); }
  int64_t num_ends() const { return static_cast<int64_t>(ends.size()); }
};

// The trie with what open_clip's CoCa has behind each of its sequences: the
// token 0 that pads it, unless it has `context` tokens, and then a token of its
// own, `class_token`, at position `context`, where the sequence now ends. No
// node sees one whose predecessor is a token 0, and a class token sees itself
// only behind `context` tokens (open_clip's transformer.py,
// _build_additive_mask, the way in which all its models were trained).
TokenTrie WithClassTokens(const TokenTrie& trie, int32_t context,
                          int32_t class_token);
// Nodes that each end gets by that, at most.
constexpr int64_t kClassNodes = 2;

// Some sequences, folded.
struct TextStep {
  // A sequence and which of the trie's ends it has.
  struct Member {
    int64_t sequence;  // its place among those that were cut into steps
    int64_t end;       // an index of TokenTrie::ends
  };

  TokenTrie trie;
  std::vector<Member> members;
  int64_t nodes = 0;  // that the tower computes: the trie's, or padded ones
};

// Sorts sequences, so that those which begin alike are neighbours, and cuts
// them into steps of bounded size, each a trie. What is lost where a step
// begins is small: 1.1 % of ImageNet's prefixes with 512 nodes a step.
//
// Thread rule: for one thread.
class TrieSteps {
 public:
  // For `padded`: sequences share nothing, and none is padded.
  static constexpr int64_t kOwnLength = -1;

  // Steps have at most `max_nodes` nodes and at least one sequence. For a tower
  // that pads, each different sequence counts as `padded` nodes; kOwnLength: as
  // many as it has tokens; 0: as those it adds to the trie and `behind`. Copies
  // the tokens. REQUIRES: no sequence is empty, no token negative.
  TrieSteps(absl::Span<const absl::Span<const int32_t>> sequences,
            int64_t max_nodes, int64_t padded = 0, int64_t behind = 0);

  // The next step; null: there is none left.
  absl::optional<TextStep> Next();

  // Undoes Next, latest step first: its sequences come again, in steps of
  // another size if that was changed.
  void PutBack(const TextStep& step) { next_ -= step.members.size(); }

  // Of the steps to come.
  void set_max_nodes(int64_t max_nodes) { max_nodes_ = max_nodes; }

 private:
  absl::Span<const int32_t> Tokens(int64_t sequence) const {
    return absl::MakeConstSpan(tokens_).subspan(
        starts_[sequence], starts_[sequence + 1] - starts_[sequence]);
  }

  int64_t max_nodes_;
  const int64_t padded_, behind_;
  // Of all sequences, one after the other: they are looked at in sorted order,
  // and lie together so that most of them are in a cache.
  std::vector<int32_t> tokens_;
  std::vector<int64_t> starts_;  // [sequences + 1], of tokens_
  std::vector<int64_t> sorted_;  // [sequences]
  size_t next_ = 0;              // of sorted_
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TOKEN_TRIE_H_
