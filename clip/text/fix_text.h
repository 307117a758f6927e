// ftfy.fix_text, version 6.3.1 in its default configuration
// (https://github.com/rspeer/python-ftfy): a port written from its
// documented rules, with its tables in data/ftfy.
#ifndef ZEROSHOT_CLIP_TEXT_FIX_TEXT_H_
#define ZEROSHOT_CLIP_TEXT_FIX_TEXT_H_

#include <string>
#include <string_view>

namespace clip {

// Fixes mojibake, HTML references (unless the text has a `<`), ligatures,
// character widths, curly quotes, line breaks, terminal escapes and control
// characters, and normalises to NFC; line by line, each until nothing changes.
//
// REQUIRES: no surrogates in `text`.
std::u32string FixText(std::u32string_view text);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_FIX_TEXT_H_
