// Tokens that Hugging Face's tokenizers library finds in a text before anything
// else looks at it: "added_tokens" of tokenizer.json.
//
// Thread rule: const methods from any thread.
#ifndef ZEROSHOT_CLIP_TEXT_ADDED_TOKENS_H_
#define ZEROSHOT_CLIP_TEXT_ADDED_TOKENS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "clip/text/piece_trie.h"

namespace clip {

struct AddedToken {
  std::string text;
  int32_t id = 0;
  bool takes_space_before = false;  // "lstrip"
  bool takes_space_after = false;   // "rstrip"
};

// A part of a text: a token, or text between tokens.
struct TextPart {
  absl::string_view text;
  std::optional<int32_t> token;
};

class AddedTokens {
 public:
  AddedTokens() = default;
  // What is looked for is `text` of each.
  explicit AddedTokens(std::vector<AddedToken> tokens);

  // The parts of `text`, none empty: from left to right the longest token that
  // begins at a place.
  std::vector<TextPart> Split(absl::string_view text) const;

 private:
  std::vector<AddedToken> tokens_;
  PieceTrie trie_;  // to places in tokens_
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_ADDED_TOKENS_H_
