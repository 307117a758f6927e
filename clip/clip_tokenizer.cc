#include "clip/clip_tokenizer.h"

#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/utf8.h"
#include "clip/embedded_text_tables.h"
#include "clip/text/byte_pairs.h"
#include "clip/text/clean_text.h"
#include "clip/text/ftfy_tables.h"
#include "clip/text/html_unescape.h"
#include "clip/text/unicode.h"
#include "clip/text/words.h"

namespace clip {
namespace {

// basic_clean, whitespace_clean and lower() of the reference. Its regex has
// other white space than str.split, U+001C to U+001F, of which fixing leaves
// none.
absl::StatusOr<std::string> Clean(absl::string_view text) {
  // Words may then be apart by more than one space, which changes nothing.
  if (IsPlain(text)) return absl::AsciiStrToLower(text);
  return CleanText(text, TextCleaning::kLower);
}

}  // namespace

struct ClipTokenizer::Impl {
  BytePairEncoder byte_pairs{embedded::BytePairMerges()};
};

ClipTokenizer::ClipTokenizer() : impl_(std::make_unique<Impl>()) {
  // Reads the tables now, so that the first text does not wait for them.
  Tables();
  HtmlUnescape(U"&amp;");
}

ClipTokenizer::~ClipTokenizer() = default;

std::shared_ptr<const Tokenizer> SharedClipTokenizer() {
  static const auto* const shared =
      new std::shared_ptr<const Tokenizer>(std::make_shared<ClipTokenizer>());
  return *shared;
}

std::string ClipTokenizer::description() const {
  return absl::StrCat("openai-clip-bpe start=", kStartOfText,
                      " end=", kEndOfText, " vocab=", kVocabSize);
}

absl::StatusOr<std::vector<int32_t>> ClipTokenizer::Encode(
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
