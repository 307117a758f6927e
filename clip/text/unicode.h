// Unicode for the tokenizer: character classes, lower case and NFC as
// Python 3.11 has them. Text that is being cleaned is held as code points
// (char32_t), because ftfy's rules count characters.
//
// Python 3.11 has Unicode 14, and ICU is newer. So a code point that Unicode
// 14 does not assign gets no treatment here, whatever ICU knows of it: fixing
// mojibake can bring one up even in a text that had none.
#ifndef ZEROSHOT_CLIP_TEXT_UNICODE_H_
#define ZEROSHOT_CLIP_TEXT_UNICODE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/strings/string_view.h"

namespace clip {

// REQUIRES for the rest: no surrogates among the code points, and no more than
// base::kMaxTextBytes.

// unicodedata.normalize("NFC", text)
std::u32string ToNfc(std::u32string_view text);

// text.lower(): full mappings, final sigma.
std::u32string ToLower(std::u32string_view text);

// Printable ASCII, tab and newline: what no step of ftfy changes but for HTML
// references.
inline bool IsPlainAscii(char32_t c) {
  return (c >= 0x20 && c <= 0x7E) || c == U'\t' || c == U'\n';
}

// Text that no step of the tokenizer's cleaning changes but for white space and
// case: plain ASCII without HTML references.
bool IsPlain(absl::string_view text);

// White_Space of Unicode: \s of the `regex` module.
bool IsWhiteSpace(char32_t c);

// Classes of Python's own `re`: \s (has U+001C to U+001F too), \w, \d.
bool IsReSpace(char32_t c);
bool IsReWord(char32_t c);
bool IsReDigit(char32_t c);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_UNICODE_H_
