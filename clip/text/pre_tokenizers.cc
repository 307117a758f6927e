#include "clip/text/pre_tokenizers.h"

#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/utf8.h"
#include "clip/text/normalizers.h"
#include "clip/text/unicode.h"

namespace clip {
namespace {

// Where the delimiter that `text` starts with ends; 0: there is none.
using Find = absl::FunctionRef<size_t(absl::string_view text)>;

// Cuts each word at delimiters, one by one.
void Cut(Find find, Delimiter delimiter, Words* words) {
  Words cut;
  for (Word& word : *words) {
    const absl::string_view text = word.text;
    size_t begin = 0;
    const auto end_at = [&](size_t end) {
      if (end > begin)
        cut.push_back({std::string(text.substr(begin, end - begin)),
                       word.starts_text && begin == 0});
      begin = end;
    };
    for (size_t i = 0; i < text.size();) {
      const size_t length = find(text.substr(i));
      if (length == 0) {
        base::NextCodePoint(text, &i);
        continue;
      }
      if (delimiter != Delimiter::kMergedWithPrevious) end_at(i);
      i += length;
      if (delimiter == Delimiter::kRemoved) begin = i;
      if (delimiter != Delimiter::kMergedWithNext) end_at(i);
    }
    end_at(text.size());
  }
  *words = std::move(cut);
}

size_t WhiteSpaceLength(absl::string_view text) {
  size_t length = 0;
  const int32_t c = base::NextCodePoint(text, &length);
  return c >= 0 && IsWhiteSpace(static_cast<char32_t>(c)) ? length : 0;
}

size_t PunctuationLength(absl::string_view text) {
  size_t length = 0;
  const int32_t c = base::NextCodePoint(text, &length);
  return c >= 0 && IsBertPunctuation(static_cast<char32_t>(c)) ? length : 0;
}

}  // namespace

void SplitAtWhiteSpace(Words* words) {
  Cut(WhiteSpaceLength, Delimiter::kRemoved, words);
}

void SplitForBert(Words* words) {
  SplitAtWhiteSpace(words);
  Cut(PunctuationLength, Delimiter::kIsolated, words);
}

void SplitAtMetaspace(absl::string_view replacement, Prepend prepend,
                      bool split, Words* words) {
  for (Word& word : *words) {
    ReplaceAll(" ", replacement, &word.text);
    const bool here = prepend == Prepend::kAlways ||
                      (prepend == Prepend::kFirst && word.starts_text);
    if (here && !absl::StartsWith(word.text, replacement))
      word.text = absl::StrCat(replacement, word.text);
  }
  if (split) SplitAt(replacement, Delimiter::kMergedWithNext, words);
}

void SplitAt(absl::string_view pattern, Delimiter delimiter, Words* words) {
  Cut(
      [&](absl::string_view text) {
        return absl::StartsWith(text, pattern) ? pattern.size() : 0;
      },
      delimiter, words);
}

}  // namespace clip
