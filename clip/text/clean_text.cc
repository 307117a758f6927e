#include "clip/text/clean_text.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "clip/text/fix_text.h"
#include "clip/text/html_unescape.h"
#include "clip/text/normalizers.h"
#include "clip/text/unicode.h"

namespace clip {
namespace {

constexpr std::pair<absl::string_view, TextCleaning> kNames[] = {
    {"none", TextCleaning::kNone},
    {"whitespace", TextCleaning::kWhitespace},
    {"whitespace_underscore", TextCleaning::kWhitespaceUnderscore},
    {"lower", TextCleaning::kLower},
    {"canonicalize", TextCleaning::kCanonicalize},
    {"lower_each", TextCleaning::kLowerEach},
};

// " ".join(text.split())
std::u32string FoldSpace(std::u32string_view text) {
  std::u32string folded;
  folded.reserve(text.size());
  bool gap = false;
  for (const char32_t c : text) {
    if (IsReSpace(c)) {
      gap = true;
      continue;
    }
    if (gap && !folded.empty()) folded.push_back(U' ');
    gap = false;
    folded.push_back(c);
  }
  return folded;
}

// string.punctuation
bool IsAsciiPunctuation(char32_t c) {
  return (c >= U'!' && c <= U'/') || (c >= U':' && c <= U'@') ||
         (c >= U'[' && c <= U'`') || (c >= U'{' && c <= U'~');
}

}  // namespace

std::optional<TextCleaning> TextCleaningNamed(absl::string_view name) {
  for (const auto& [known, cleaning] : kNames) {
    // open_clip's only.
    if (name == known && cleaning != TextCleaning::kNone &&
        cleaning != TextCleaning::kLowerEach) {
      return cleaning;
    }
  }
  return std::nullopt;
}

absl::string_view TextCleaningName(TextCleaning cleaning) {
  for (const auto& [name, known] : kNames) {
    if (known == cleaning) return name;
  }
  return "";
}

absl::StatusOr<std::string> CleanText(absl::string_view text,
                                      TextCleaning cleaning) {
  absl::StatusOr<std::u32string> decoded = base::DecodeUtf8(text);
  if (!decoded.ok()) return decoded.status();
  if (cleaning == TextCleaning::kNone) return std::string(text);
  if (cleaning == TextCleaning::kLowerEach) {
    std::string lower(text);
    LowerEach(&lower);
    return lower;
  }
  std::u32string points = *std::move(decoded);
  if (!IsPlain(text)) points = HtmlUnescape(HtmlUnescape(FixText(points)));
  if (cleaning == TextCleaning::kCanonicalize ||
      cleaning == TextCleaning::kWhitespaceUnderscore) {
    std::replace(points.begin(), points.end(), U'_', U' ');
  }
  if (cleaning == TextCleaning::kCanonicalize) {
    std::erase_if(points, IsAsciiPunctuation);
    points = ToLower(points);
  }
  points = FoldSpace(points);
  if (cleaning == TextCleaning::kLower) points = ToLower(points);
  return base::EncodeUtf8(points);
}

std::string CanonicalizeForSiglip(absl::string_view text) {
  std::u32string points =
      ToLower(base::DecodeUtf8(text).value_or(std::u32string()));
  std::erase_if(points, IsAsciiPunctuation);
  return base::EncodeUtf8(FoldSpace(points));
}

}  // namespace clip
