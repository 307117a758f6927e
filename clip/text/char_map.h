// The table of SentencePiece's normalisers, its `precompiled_charsmap`: strings
// and what each is replaced by, as NFKC or lower case need. tokenizer.json has
// the same bytes in base64.
//
// The bytes are a uint32, the length of a trie in bytes; the trie, units of a
// Darts double array (s-yata/darts-clone, include/darts.h); and the
// replacements, each with a NUL at its end. The values of the trie are offsets
// into them.
//
// Thread rule: immutable after Parse.
#ifndef ZEROSHOT_CLIP_TEXT_CHAR_MAP_H_
#define ZEROSHOT_CLIP_TEXT_CHAR_MAP_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace clip {

class CharMap {
 public:
  struct Match {
    size_t length = 0;              // of the text that is replaced; 0: none
    absl::string_view replacement;  // of the map's own bytes
  };

  // A map that replaces nothing.
  CharMap() = default;

  // InvalidArgument: lengths that do not fit, or replacements that are not
  // UTF-8. An empty `bytes` is the map that replaces nothing.
  static absl::StatusOr<CharMap> Parse(absl::string_view bytes);

  // The longest or the shortest entry that `text` starts with.
  Match Longest(absl::string_view text) const;
  Match Shortest(absl::string_view text) const;

  bool empty() const { return units_.empty(); }

 private:
  Match Find(absl::string_view text, bool shortest) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_CHAR_MAP_H_
