#include "clip/text/fix_text.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "clip/text/ftfy_tables.h"
#include "clip/text/html_unescape.h"
#include "clip/text/mojibake.h"
#include "clip/text/unicode.h"

namespace clip {
namespace {

constexpr size_t kMaxSegment = 1'000'000;  // max_decode_length

// fix_c1_controls, fix_latin_ligatures, fix_character_width, uncurl_quotes.
std::u32string ReplaceCharacters(std::u32string_view text) {
  const auto& replacements = Tables().replacements;
  std::u32string result;
  result.reserve(text.size());
  for (const char32_t c : text) {
    const auto found = c < 0x80 ? replacements.end() : replacements.find(c);
    if (found == replacements.end()) {
      result.push_back(c);
    } else {
      result += found->second;
    }
  }
  return result;
}

// fix_line_breaks. U+0085 is gone by now: it is a C1 control.
std::u32string FixLineBreaks(std::u32string_view text) {
  std::u32string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    if (c == U'\r' && i + 1 < text.size() && text[i + 1] == U'\n') continue;
    const bool breaks = c == U'\r' || c == U'\u2028' || c == U'\u2029';
    result.push_back(breaks ? U'\n' : c);
  }
  return result;
}

// The length of a terminal escape at the start of `text`, 0 if there is none:
// ESC [ digits and semicolons, a letter.
size_t TerminalEscapeLength(std::u32string_view text) {
  if (text.size() < 3 || text[0] != 0x1B || text[1] != U'[') return 0;
  size_t i = 2;
  while (i < text.size() && (text[i] == U';' || IsReDigit(text[i]))) ++i;
  const bool ends = i < text.size() && text[i] < 0x80 &&
                    absl::ascii_isalpha(static_cast<unsigned char>(text[i]));
  return ends ? i + 1 : 0;
}

std::u32string RemoveTerminalEscapes(std::u32string_view text) {
  std::u32string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const size_t length = TerminalEscapeLength(text);
    if (length == 0) result.push_back(text[0]);
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return result;
}

// chardata.CONTROL_CHARS
bool IsUselessControl(char32_t c) {
  return c <= 0x08 || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F ||
         (c >= 0x206A && c <= 0x206F) || c == 0xFEFF ||
         (c >= 0xFFF9 && c <= 0xFFFC);
}

// ftfy.fix_and_explain. fix_surrogates has nothing to do: UTF-8 has none.
std::u32string FixSegment(std::u32string text, bool unescape_html) {
  for (;;) {
    std::u32string fixed = unescape_html ? FtfyUnescapeHtml(text) : text;
    // None of these concerns plain ASCII; the loop turns as often as a
    // reference was escaped.
    if (!std::all_of(fixed.begin(), fixed.end(), IsPlainAscii)) {
      fixed = FixEncoding(std::move(fixed));
      fixed = ReplaceCharacters(fixed);
      fixed = FixLineBreaks(fixed);
      fixed = RemoveTerminalEscapes(fixed);
      fixed.erase(std::remove_if(fixed.begin(), fixed.end(), IsUselessControl),
                  fixed.end());
      fixed = ToNfc(fixed);
    }
    if (fixed == text) return text;
    text = std::move(fixed);
  }
}

}  // namespace

std::u32string FixText(std::u32string_view text) {
  std::u32string result;
  bool unescape_html = true;
  while (!text.empty()) {
    const size_t newline = text.find(U'\n');
    size_t length =
        newline == std::u32string_view::npos ? text.size() : newline + 1;
    length = std::min(length, kMaxSegment);
    const std::u32string_view segment = text.substr(0, length);
    // A tag means HTML, here and in all that follows.
    unescape_html &= segment.find(U'<') == std::u32string_view::npos;
    result += FixSegment(std::u32string(segment), unescape_html);
    text.remove_prefix(length);
  }
  return result;
}

}  // namespace clip
