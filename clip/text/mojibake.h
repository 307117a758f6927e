// ftfy.fix_encoding: undoes text that was UTF-8 but was decoded as something
// else ("voilÃ " for "voilà"), as often as it happened.
#ifndef ZEROSHOT_CLIP_TEXT_MOJIBAKE_H_
#define ZEROSHOT_CLIP_TEXT_MOJIBAKE_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/strings/string_view.h"

namespace clip {

// ftfy.fix_encoding in its default configuration.
std::u32string FixEncoding(std::u32string text);

// The steps of it that work on bytes; here for the tests.

// Codec "utf-8-variants": UTF-8, Java's C0 80 for U+0000, and surrogate pairs
// of three bytes each. Nothing if `bytes` is none of these.
std::optional<std::u32string> DecodeUtf8Variants(absl::string_view bytes);

// Spaces that must have been byte A0 within a UTF-8 sequence.
std::string RestoreByteA0(absl::string_view bytes);

// UTF-8 sequences with lost bytes (1A, sometimes ?) become U+FFFD's.
std::string ReplaceLossySequences(absl::string_view bytes);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_MOJIBAKE_H_
