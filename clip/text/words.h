// The reference's word pattern, as SimpleTokenizer.pat in openai/CLIP's
// simple_tokenizer.py applies it to cleaned, lower-cased text:
//
//   <|startoftext|> | <|endoftext|> | 's | 't | 're | 've | 'm | 'll | 'd
//   | \p{L}+ | \p{N} | [^\s\p{L}\p{N}]+
//
// the first alternative that matches, upper and lower case alike.
//
// Thread rule: one object, one thread.
#ifndef ZEROSHOT_CLIP_TEXT_WORDS_H_
#define ZEROSHOT_CLIP_TEXT_WORDS_H_

#include <cstddef>

#include "absl/strings/string_view.h"

namespace clip {

inline constexpr absl::string_view kStartOfTextWord = "<|startoftext|>";
inline constexpr absl::string_view kEndOfTextWord = "<|endoftext|>";

// Walks over the words of a text.
class WordScanner {
 public:
  // REQUIRES: valid UTF-8 in lower case, which outlives this object.
  explicit WordScanner(absl::string_view text) : rest_(text) {}

  // Sets `*word` to the next word, a part of the text; false at the end.
  bool Next(absl::string_view* word);

 private:
  absl::string_view rest_;
};

// Whether no word of `left` + `right` reaches over the place where they meet,
// and neither side changes what the words of the other are: then the words of
// the whole are those of `left`, then those of `right`. No means that it may be
// otherwise. Upper and lower case are alike.
//
// REQUIRES: ASCII, neither empty.
bool PartWords(absl::string_view left, absl::string_view right);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_WORDS_H_
