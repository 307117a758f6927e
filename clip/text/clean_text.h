// What libraries do to a text before its tokenizer sees it.
#ifndef ZEROSHOT_CLIP_TEXT_CLEAN_TEXT_H_
#define ZEROSHOT_CLIP_TEXT_CLEAN_TEXT_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace clip {

enum class TextCleaning {
  kNone,
  // open_clip's `clean`: all of these fix the text as ftfy does and resolve
  // HTML's references twice. White space folds to one space, none at the ends.
  kWhitespace,            // and no more
  kWhitespaceUnderscore,  // underscores become spaces
  kLower,                 // lower case
  kCanonicalize,  // underscores become spaces, ASCII's punctuation goes, lower
                  // case
  // transformers' Siglip2Tokenizer: each character's lower case, no more.
  kLowerEach,
};

// "canonicalize" and so on, as open_clip's configurations name them.
std::optional<TextCleaning> TextCleaningNamed(absl::string_view name);

// In words, for people and for fingerprints.
absl::string_view TextCleaningName(TextCleaning cleaning);

// InvalidArgument: `text` is not UTF-8; the message has the byte offset.
// REQUIRES: text.size() <= base::kMaxTextBytes.
absl::StatusOr<std::string> CleanText(absl::string_view text,
                                      TextCleaning cleaning);

// transformers' SiglipTokenizer.canonicalize_text: lower case, ASCII's
// punctuation goes, white space folds. No ftfy, and underscores go too.
// REQUIRES: UTF-8.
std::string CanonicalizeForSiglip(absl::string_view text);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_CLEAN_TEXT_H_
