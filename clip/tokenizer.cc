#include "clip/tokenizer.h"

#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/utf8.h"
#include "clip/embedded_text_tables.h"
#include "clip/text/byte_pairs.h"
#include "clip/text/fix_text.h"
#include "clip/text/ftfy_tables.h"
#include "clip/text/html_unescape.h"
#include "clip/text/unicode.h"
#include "clip/text/words.h"

namespace clip {
namespace {

// whitespace_clean: runs become one space, none at the ends. str.strip would
// also take U+001C to U+001F, but no step before leaves any.
std::u32string FoldWhiteSpace(std::u32string_view text) {
  std::u32string folded;
  folded.reserve(text.size());
  bool gap = false;
  for (const char32_t c : text) {
    if (IsWhiteSpace(c)) {
      gap = true;
      continue;
    }
    if (gap && !folded.empty()) folded.push_back(U' ');
    gap = false;
    folded.push_back(c);
  }
  return folded;
}

// basic_clean, whitespace_clean and lower() of the reference.
absl::StatusOr<std::string> Clean(absl::string_view text) {
  // Words may then be apart by more than one space, which changes nothing.
  if (IsPlain(text)) return absl::AsciiStrToLower(text);
  absl::StatusOr<std::u32string> decoded = base::DecodeUtf8(text);
  if (!decoded.ok()) return decoded.status();
  const std::u32string cleaned =
      HtmlUnescape(HtmlUnescape(FixText(*std::move(decoded))));
  return base::EncodeUtf8(ToLower(FoldWhiteSpace(cleaned)));
}

}  // namespace

struct Tokenizer::Impl {
  BytePairEncoder byte_pairs{embedded::BytePairMerges()};
};

Tokenizer::Tokenizer() : impl_(std::make_unique<Impl>()) {
  // Reads the tables now, so that the first text does not wait for them.
  Tables();
  HtmlUnescape(U"&amp;");
}

Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(
    absl::string_view text) const {
  if (text.size() > base::kMaxTextBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("text has ", text.size(), " bytes; at most ",
                     base::kMaxTextBytes, " are allowed"));
  }
  absl::StatusOr<std::string> cleaned = Clean(text);
  if (!cleaned.ok()) return cleaned.status();
  std::vector<int32_t> ids = {kStartOfText};
  WordScanner words(*cleaned);
  for (absl::string_view word; words.Next(&word);) {
    if (word == kStartOfTextWord) {
      ids.push_back(kStartOfText);
    } else if (word == kEndOfTextWord) {
      ids.push_back(kEndOfText);
    } else {
      impl_->byte_pairs.Append(word, &ids);
    }
  }
  ids.push_back(kEndOfText);
  return ids;
}

}  // namespace clip
