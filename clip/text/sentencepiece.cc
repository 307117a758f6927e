#include "clip/text/sentencepiece.h"

#include <algorithm>
#include <limits>
#include <queue>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/quoted.h"
#include "base/utf8.h"

namespace clip {
namespace {

using Type = SentencePieceModel::Type;

constexpr absl::string_view kEscapedSpace = "\u2581";
constexpr absl::string_view kReplacement = "\uFFFD";
// What an unknown character costs beyond the worst piece.
constexpr float kUnknownPenalty = 10;

bool IsCutInto(Type type) {
  return type == Type::kNormal || type == Type::kUserDefined ||
         type == Type::kUnused;
}

absl::Status Refused(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("its SentencePiece model is not usable: ", what));
}

}  // namespace

SentencePiece::SentencePiece(const SentencePieceModel& model)
    : whitespace_as_suffix_(model.whitespace_as_suffix),
      add_dummy_prefix_(model.add_dummy_prefix),
      remove_extra_whitespaces_(model.remove_extra_whitespaces),
      space_(model.escape_whitespaces ? kEscapedSpace : " ") {}

absl::StatusOr<std::unique_ptr<SentencePiece>> SentencePiece::Create(
    const SentencePieceModel& model) {
  if (model.kind != SentencePieceModel::Kind::kUnigram &&
      model.kind != SentencePieceModel::Kind::kBpe) {
    return Refused(absl::StrCat(
        "it cuts text into ",
        model.kind == SentencePieceModel::Kind::kWord ? "words" : "characters",
        ", supported are unigram and BPE"));
  }
  std::unique_ptr<SentencePiece> made(new SentencePiece(model));
  absl::StatusOr<CharMap> char_map = CharMap::Parse(model.charsmap);
  if (!char_map.ok()) return char_map.status();
  made->char_map_ = *std::move(char_map);
  absl::Status status = made->AddPieces(model);
  if (status.ok()) status = made->AddBytes(model);
  if (!status.ok()) return status;
  if (model.kind == SentencePieceModel::Kind::kUnigram)
    made->MakeUnigram(model);
  return made;
}

absl::Status SentencePiece::AddPieces(const SentencePieceModel& model) {
  // All before the first view of one.
  for (const SentencePieceModel::Piece& piece : model.pieces) {
    spellings_.emplace_back(piece.text);
    types_.push_back(piece.type);
    scores_.push_back(piece.score);
  }
  std::vector<PieceTrie::Entry> user_defined;
  for (int32_t id = 0; id < vocab_size(); ++id) {
    const absl::string_view text = spellings_[id];
    if (text.empty()) return Refused(absl::StrCat("piece ", id, " is empty"));
    auto& map = IsCutInto(types_[id]) ? pieces_ : reserved_;
    if (!map.emplace(text, id).second) {
      return Refused(
          absl::StrCat("piece ", base::Quoted(text), " is there twice"));
    }
    if (types_[id] == Type::kUserDefined) user_defined.emplace_back(text, id);
    if (types_[id] != Type::kUnknown) continue;
    if (unknown_id_ >= 0) return Refused("it has two unknown pieces");
    unknown_id_ = id;
  }
  if (unknown_id_ < 0) return Refused("it has no unknown piece");
  user_defined_ = PieceTrie(std::move(user_defined));
  return absl::OkStatus();
}

absl::Status SentencePiece::AddBytes(const SentencePieceModel& model) {
  const auto found =
      std::find(types_.begin(), types_.end(), Type::kByte) - types_.begin();
  if (!model.byte_fallback) {
    if (found == vocab_size()) return absl::OkStatus();
    return Refused(absl::StrCat("it has the byte piece ",
                                base::Quoted(spellings_[found]),
                                " and no byte fallback"));
  }
  bytes_.emplace();
  for (int byte = 0; byte < 256; ++byte) {
    const auto id = reserved_.find(absl::StrFormat("<0x%02X>", byte));
    if (id == reserved_.end() || types_[id->second] != Type::kByte) {
      return Refused(absl::StrFormat(
          "it has byte fallback and no byte piece '<0x%02X>'", byte));
    }
    (*bytes_)[byte] = id->second;
  }
  return absl::OkStatus();
}

void SentencePiece::MakeUnigram(const SentencePieceModel& model) {
  float worst = std::numeric_limits<float>::max();
  for (const SentencePieceModel::Piece& piece : model.pieces) {
    if (piece.type == Type::kNormal) worst = std::min(worst, piece.score);
  }
  std::vector<double> scores(scores_.begin(), scores_.end());
  std::vector<PieceTrie::Entry> entries;
  for (const auto& [text, id] : pieces_) {
    if (types_[id] == Type::kUnused) continue;
    entries.emplace_back(text, id);
    // Always chosen, and longer ones more so.
    if (types_[id] == Type::kUserDefined)
      scores[id] = 0.1 * static_cast<double>(text.size() - 1);
  }
  unigram_.emplace(PieceTrie(std::move(entries)), std::move(scores),
                   worst - kUnknownPenalty, unknown_id_, Unigram::Sums::kFloat);
}

CharMap::Match SentencePiece::NormalizePrefix(absl::string_view text) const {
  if (const size_t length = user_defined_.Longest(text).length; length > 0)
    return {length, text.substr(0, length)};
  const CharMap::Match match = char_map_.Longest(text);
  if (match.length > 0) return match;
  size_t length = 0;
  if (base::NextCodePoint(text, &length) < 0) return {1, kReplacement};
  return {length, text.substr(0, length)};
}

std::string SentencePiece::Normalize(absl::string_view text) const {
  std::string normal;
  if (remove_extra_whitespaces_) {
    while (!text.empty()) {
      const CharMap::Match match = NormalizePrefix(text);
      if (match.replacement != " ") break;
      text.remove_prefix(match.length);
    }
  }
  if (text.empty()) return normal;
  normal.reserve(text.size() + text.size() / 2 + space_.size());
  if (add_dummy_prefix_ && !whitespace_as_suffix_)
    absl::StrAppend(&normal, space_);
  bool after_space = remove_extra_whitespaces_;
  while (!text.empty()) {
    const CharMap::Match match = NormalizePrefix(text);
    text.remove_prefix(match.length);
    absl::string_view part = match.replacement;
    while (after_space && absl::ConsumePrefix(&part, " ")) {
    }
    if (part.empty()) continue;
    after_space = remove_extra_whitespaces_ && part.back() == ' ';
    for (const char c : part) {
      if (c == ' ') {
        absl::StrAppend(&normal, space_);
      } else {
        normal.push_back(c);
      }
    }
  }
  if (remove_extra_whitespaces_) {
    while (absl::EndsWith(normal, space_))
      normal.resize(normal.size() - space_.size());
  }
  if (add_dummy_prefix_ && whitespace_as_suffix_)
    absl::StrAppend(&normal, space_);
  return normal;
}

int32_t SentencePiece::PieceId(absl::string_view piece) const {
  const auto found = pieces_.find(piece);
  return found == pieces_.end() ? unknown_id_ : found->second;
}

std::optional<int32_t> SentencePiece::IdOf(absl::string_view piece) const {
  for (const auto* ids : {&reserved_, &pieces_}) {
    if (const auto found = ids->find(piece); found != ids->end())
      return found->second;
  }
  return std::nullopt;
}

// Characters are merged by twos as long as some two neighbours are a piece, the
// best score first and of those the leftmost.
void SentencePiece::Merge(absl::string_view text,
                          std::vector<CutPiece>* cut) const {
  struct Symbol {
    absl::string_view piece;  // empty: merged into another
    int32_t previous;
    int32_t next;
    bool frozen;  // user-defined: never merged
  };
  struct Step {
    float score;
    int32_t left;
    int32_t right;
    size_t length;
    bool operator<(const Step& other) const {
      return score < other.score || (score == other.score && left > other.left);
    }
  };
  std::vector<Symbol> symbols;
  for (absl::string_view rest = text; !rest.empty();) {
    const size_t user_defined = user_defined_.Longest(rest).length;
    const size_t length =
        user_defined > 0 ? user_defined : CharacterLength(rest);
    const auto place = static_cast<int32_t>(symbols.size());
    symbols.push_back(
        {rest.substr(0, length), place - 1, place + 1, user_defined > 0});
    rest.remove_prefix(length);
  }
  const auto count = static_cast<int32_t>(symbols.size());
  std::priority_queue<Step> steps;
  // What merged pieces that are not used were made of.
  absl::flat_hash_map<absl::string_view,
                      std::pair<absl::string_view, absl::string_view>>
      parts;
  const auto consider = [&](int32_t left, int32_t right) {
    if (left < 0 || right == count || symbols[left].frozen ||
        symbols[right].frozen) {
      return;
    }
    const absl::string_view merged(
        symbols[left].piece.data(),
        symbols[left].piece.size() + symbols[right].piece.size());
    const auto found = pieces_.find(merged);
    if (found == pieces_.end()) return;
    steps.push({scores_[found->second], left, right, merged.size()});
    if (types_[found->second] == Type::kUnused)
      parts[merged] = {symbols[left].piece, symbols[right].piece};
  };
  for (int32_t i = 1; i < count; ++i) consider(i - 1, i);
  while (!steps.empty()) {
    const Step step = steps.top();
    steps.pop();
    Symbol& left = symbols[step.left];
    Symbol& right = symbols[step.right];
    // One of the two was merged otherwise.
    if (left.piece.empty() || right.piece.empty() ||
        left.piece.size() + right.piece.size() != step.length) {
      continue;
    }
    left.piece = absl::string_view(left.piece.data(), step.length);
    left.next = right.next;
    if (right.next != count) symbols[right.next].previous = step.left;
    right.piece = absl::string_view();
    consider(left.previous, step.left);
    consider(step.left, left.next);
  }
  cut->clear();
  std::vector<absl::string_view> open;
  for (int32_t i = 0; i != count; i = symbols[i].next) {
    open.push_back(symbols[i].piece);
    while (!open.empty()) {
      const absl::string_view piece = open.back();
      open.pop_back();
      const int32_t id = PieceId(piece);
      const auto part = parts.find(piece);
      if (types_[id] != Type::kUnused) {
        cut->push_back({piece, id});
      } else if (part == parts.end()) {
        cut->push_back({piece, unknown_id_});
      } else {
        open.push_back(part->second.second);
        open.push_back(part->second.first);
      }
    }
  }
}

void SentencePiece::Append(absl::string_view text,
                           std::vector<int32_t>* ids) const {
  const std::string normal = Normalize(text);
  std::vector<CutPiece> cut;
  unigram_ ? unigram_->Cut(normal, &cut) : Merge(normal, &cut);
  bool after_unknown = false;
  for (const CutPiece& piece : cut) {
    const bool unknown = piece.id == unknown_id_;
    if (unknown && bytes_) {
      for (const unsigned char byte : piece.text)
        ids->push_back((*bytes_)[byte]);
    } else if (!unknown || !after_unknown) {
      ids->push_back(piece.id);  // one for neighbours that are unknown
    }
    after_unknown = unknown;
  }
}

}  // namespace clip
