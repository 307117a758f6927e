#include "clip/template_tokenizer.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "clip/text/unicode.h"
#include "clip/text/words.h"

namespace clip {
namespace {

// Longer texts are not tokenised at all, whole or in pieces.
constexpr size_t kMaxPieceBytes = 1 << 16;

bool IsPlainPiece(absl::string_view text) {
  return text.size() <= kMaxPieceBytes && IsPlain(text);
}

}  // namespace

TemplateTokenizer::TemplateTokenizer(
    const Tokenizer* tokenizer,
    absl::Span<const std::vector<std::string>> templates)
    : tokenizer_(tokenizer), templates_(templates), pieces_(templates.size()) {
  if (!tokenizer->WordsPartAtPieces()) return;
  const std::vector<int32_t> ends = *tokenizer->Encode("");
  first_ = ends.front();
  last_ = ends.back();
  for (size_t t = 0; t < templates.size(); ++t) {
    const std::vector<std::string>& texts = templates[t];
    if (texts.size() > kMaxPieceBytes / 64 ||
        !std::all_of(texts.begin(), texts.end(), IsPlainPiece)) {
      continue;
    }
    for (const std::string& text : texts) pieces_[t].push_back(ToPiece(text));
  }
}

TemplateTokenizer::Piece TemplateTokenizer::ToPiece(
    absl::string_view text) const {
  // Plain text is UTF-8 and short: it always has ids.
  const std::vector<int32_t> ids = *tokenizer_->Encode(text);
  return {text, {ids.begin() + 1, ids.end() - 1}};
}

void TemplateTokenizer::SetName(absl::string_view name) {
  plain_name_ =
      tokenizer_->WordsPartAtPieces() && !name.empty() && IsPlainPiece(name);
  name_ = plain_name_ ? ToPiece(name) : Piece{name, {}};
}

// From left to right: if words part at each place, they are found as if each
// piece stood alone.
bool TemplateTokenizer::IsMadeOfPieces(const std::vector<Piece>& pieces) const {
  if (!plain_name_ || pieces.empty()) return false;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const bool first = i == 0, last = i + 1 == pieces.size();
    if (pieces[i].text.empty()) {
      if (first || last) continue;
      return false;  // two names meet
    }
    if (!first && !PartWords(name_.text, pieces[i].text)) return false;
    if (!last && !PartWords(pieces[i].text, name_.text)) return false;
  }
  return true;
}

absl::StatusOr<std::vector<int32_t>> TemplateTokenizer::Encode(int t) const {
  const std::vector<Piece>& pieces = pieces_[t];
  if (!IsMadeOfPieces(pieces)) {
    return tokenizer_->Encode(absl::StrJoin(templates_[t], name_.text));
  }
  size_t size = 2 + (pieces.size() - 1) * name_.ids.size();
  for (const Piece& piece : pieces) size += piece.ids.size();
  std::vector<int32_t> ids;
  ids.reserve(size);
  ids.push_back(first_);
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i > 0) ids.insert(ids.end(), name_.ids.begin(), name_.ids.end());
    ids.insert(ids.end(), pieces[i].ids.begin(), pieces[i].ids.end());
  }
  ids.push_back(last_);
  return ids;
}

}  // namespace clip
