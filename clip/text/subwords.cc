#include "clip/text/subwords.h"

#include <algorithm>
#include <limits>
#include <queue>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/quoted.h"

namespace clip {
namespace {

uint64_t PairKey(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 |
         static_cast<uint32_t>(right);
}

Unigram MakeUnigram(const UnigramSubwords::Options& options,
                    const Vocabulary& vocabulary) {
  constexpr double kUnknownPenalty = 10;
  double worst = std::numeric_limits<double>::infinity();
  for (const double score : options.scores) worst = std::min(worst, score);
  return Unigram(PieceTrie({vocabulary.ids().begin(), vocabulary.ids().end()}),
                 options.scores, worst - kUnknownPenalty, options.unknown_id,
                 Unigram::Sums::kDouble);
}

}  // namespace

Subwords::Subwords(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {
  for (int byte = 0; byte < 256; ++byte) {
    byte_ids_[byte] =
        vocabulary_.Find(absl::StrFormat("<0x%02X>", byte)).value_or(-1);
  }
}

bool Subwords::AppendBytes(absl::string_view text,
                           std::vector<int32_t>* ids) const {
  const size_t size = ids->size();
  for (const unsigned char byte : text) {
    if (byte_ids_[byte] < 0) {
      ids->resize(size);
      return false;
    }
    ids->push_back(byte_ids_[byte]);
  }
  return true;
}

UnigramSubwords::UnigramSubwords(Options options)
    : Subwords(std::move(options.vocabulary)),
      unknown_id_(options.unknown_id),
      byte_fallback_(options.byte_fallback),
      unigram_(MakeUnigram(options, vocabulary_)) {}

void UnigramSubwords::Append(absl::string_view word,
                             std::vector<int32_t>* ids) const {
  std::vector<CutPiece> cut;
  unigram_.Cut(word, &cut);
  for (size_t i = 0; i < cut.size();) {
    if (cut[i].id != unknown_id_) {
      ids->push_back(cut[i++].id);
      continue;
    }
    // Neighbours that are unknown are one, and looked up as one.
    const char* const begin = cut[i].text.data();
    size_t length = 0;
    for (; i < cut.size() && cut[i].id == unknown_id_; ++i)
      length += cut[i].text.size();
    const absl::string_view text(begin, length);
    if (const std::optional<int32_t> id = vocabulary_.Find(text)) {
      ids->push_back(*id);
    } else if (!byte_fallback_ || !AppendBytes(text, ids)) {
      ids->push_back(unknown_id_);
    }
  }
}

MergedSubwords::MergedSubwords(Options options)
    : Subwords(std::move(options.vocabulary)),
      unknown_id_(options.unknown_id),
      fuse_unknown_(options.fuse_unknown),
      byte_fallback_(options.byte_fallback),
      ignore_merges_(options.ignore_merges) {}

absl::StatusOr<std::unique_ptr<MergedSubwords>> MergedSubwords::Create(
    Options options) {
  const auto merges = std::move(options.merges);
  std::unique_ptr<MergedSubwords> made(new MergedSubwords(std::move(options)));
  made->merges_.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    const Vocabulary& vocabulary = made->vocabulary_;
    const auto left_id = vocabulary.Find(left);
    const auto right_id = vocabulary.Find(right);
    const auto id = vocabulary.Find(absl::StrCat(left, right));
    if (!left_id || !right_id || !id) {
      return absl::InvalidArgumentError(absl::StrCat(
          "merge ", rank, " of ", base::Quoted(left), " and ",
          base::Quoted(right), ": not all three are in the vocabulary"));
    }
    made->merges_[PairKey(*left_id, *right_id)] = {static_cast<int32_t>(rank),
                                                   *id};
  }
  return made;
}

const MergedSubwords::Merge* MergedSubwords::FindMerge(int32_t left,
                                                       int32_t right) const {
  const auto found = merges_.find(PairKey(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

std::vector<int32_t> MergedSubwords::Characters(absl::string_view word) const {
  std::vector<int32_t> ids;
  // An unknown character waits for the next piece: unknown ones may follow it,
  // and bytes go before it.
  bool unknown = false;
  const auto end_unknown = [&] {
    if (unknown) ids.push_back(*unknown_id_);
    unknown = false;
  };
  for (absl::string_view rest = word; !rest.empty();) {
    const absl::string_view character = rest.substr(0, CharacterLength(rest));
    rest.remove_prefix(character.size());
    if (const std::optional<int32_t> id = vocabulary_.Find(character)) {
      end_unknown();
      ids.push_back(*id);
      continue;
    }
    if (byte_fallback_ && AppendBytes(character, &ids)) continue;
    if (!unknown_id_) continue;
    if (!fuse_unknown_) end_unknown();
    unknown = true;
  }
  end_unknown();
  return ids;
}

void MergedSubwords::Append(absl::string_view word,
                            std::vector<int32_t>* ids) const {
  if (ignore_merges_) {
    if (const std::optional<int32_t> id = vocabulary_.Find(word)) {
      ids->push_back(*id);
      return;
    }
  }
  struct Symbol {
    int32_t id;  // -1: merged into another
    int32_t previous;
    int32_t next;
  };
  struct Step {
    int32_t rank;
    int32_t left;
    int32_t id;
    bool operator<(const Step& other) const {
      return rank > other.rank || (rank == other.rank && left > other.left);
    }
  };
  std::vector<Symbol> symbols;
  for (const int32_t id : Characters(word)) {
    const auto place = static_cast<int32_t>(symbols.size());
    symbols.push_back({id, place - 1, place + 1});
  }
  const auto count = static_cast<int32_t>(symbols.size());
  std::priority_queue<Step> steps;
  const auto consider = [&](int32_t left) {
    if (left < 0 || symbols[left].next == count) return;
    const Merge* merge =
        FindMerge(symbols[left].id, symbols[symbols[left].next].id);
    if (merge != nullptr) steps.push({merge->rank, left, merge->id});
  };
  for (int32_t i = 0; i < count; ++i) consider(i);
  while (!steps.empty()) {
    const Step step = steps.top();
    steps.pop();
    Symbol& left = symbols[step.left];
    if (left.id < 0 || left.next == count) continue;
    Symbol& right = symbols[left.next];
    // One of the two was merged otherwise.
    const Merge* merge = FindMerge(left.id, right.id);
    if (merge == nullptr || merge->id != step.id) continue;
    left.id = step.id;
    left.next = right.next;
    right.id = -1;
    if (left.next != count) symbols[left.next].previous = step.left;
    consider(left.previous);
    consider(step.left);
  }
  for (int32_t i = 0; i != count; i = symbols[i].next)
    ids->push_back(symbols[i].id);
}

WordPieces::WordPieces(Options options)
    : Subwords(std::move(options.vocabulary)),
      unknown_id_(options.unknown_id),
      continuing_prefix_(std::move(options.continuing_prefix)),
      max_characters_(options.max_characters) {}

void WordPieces::Append(absl::string_view word,
                        std::vector<int32_t>* ids) const {
  const auto characters =
      std::count_if(word.begin(), word.end(),
                    [](unsigned char c) { return (c & 0xC0) != 0x80; });
  std::vector<int32_t> found;
  bool known = characters <= max_characters_;
  std::string spelling;
  for (size_t begin = 0; known && begin < word.size();) {
    spelling = begin == 0 ? "" : continuing_prefix_;
    const size_t prefix = spelling.size();
    absl::StrAppend(&spelling, word.substr(begin));
    known = false;
    while (spelling.size() > prefix) {
      if (const std::optional<int32_t> id = vocabulary_.Find(spelling)) {
        found.push_back(*id);
        begin += spelling.size() - prefix;
        known = true;
        break;
      }
      // The last character off.
      do {
        spelling.pop_back();
      } while (
          spelling.size() > prefix &&
          (static_cast<unsigned char>(word[begin + spelling.size() - prefix]) &
           0xC0) == 0x80);
    }
  }
  if (!known) found.assign(1, unknown_id_);
  ids->insert(ids->end(), found.begin(), found.end());
}

}  // namespace clip
