#include "clip/text/byte_pairs.h"

#include <zlib.h>

#include <cstdlib>
#include <functional>
#include <limits>
#include <queue>
#include <string>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/utf8.h"

namespace clip {
namespace {

constexpr int32_t kNoMerge = std::numeric_limits<int32_t>::max();
constexpr absl::string_view kEndOfWord = "</w>";

uint64_t PairKey(int32_t left, int32_t right) {
  return (static_cast<uint64_t>(left) << 32) | static_cast<uint32_t>(right);
}

// The first `num_lines` lines of a gzip file.
std::string InflateLines(absl::string_view gzipped, int num_lines) {
  z_stream stream = {};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) std::abort();
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(gzipped.data()));
  stream.avail_in = static_cast<uInt>(gzipped.size());
  std::string text;
  for (;;) {
    char block[1 << 14];
    stream.next_out = reinterpret_cast<Bytef*>(block);
    stream.avail_out = sizeof(block);
    if (inflate(&stream, Z_NO_FLUSH) != Z_OK) std::abort();  // too few lines
    for (const char* c = block; c != block + sizeof(block) - stream.avail_out;
         ++c) {
      if (*c == '\n' && --num_lines == 0) {
        inflateEnd(&stream);
        return text;
      }
      text.push_back(*c);
    }
  }
}

struct SpelledByte {
  uint8_t byte;
  std::string spelling;
};

// The reference's bytes_to_unicode, in the order of the ids: its list spells
// every byte as a visible character, most as the Latin-1 character of that
// number, the others from U+0100 on.
std::vector<SpelledByte> SpelledBytes() {
  std::vector<SpelledByte> visible;
  std::vector<SpelledByte> others;
  for (int i = 0; i < 256; ++i) {
    const uint8_t byte = static_cast<uint8_t>(i);
    const bool is_visible = (i >= '!' && i <= '~') || (i >= 0xA1 && i != 0xAD);
    const char32_t character =
        is_visible ? byte : static_cast<char32_t>(0x100 + others.size());
    (is_visible ? visible : others)
        .push_back({byte, base::EncodeUtf8(std::u32string(1, character))});
  }
  visible.insert(visible.end(), others.begin(), others.end());
  return visible;
}

}  // namespace

BytePairEncoder::BytePairEncoder(absl::string_view gzipped_merges) {
  absl::flat_hash_map<std::string, int32_t> ids;
  ids.reserve(512 + kNumMerges);
  std::vector<std::string> bytes(512);  // of each id, without the end of word
  int32_t next_id = 0;
  for (const auto& [byte, spelling] : SpelledBytes()) {
    id_of_byte_[byte] = next_id;
    bytes[next_id] = bytes[256 + next_id] = static_cast<char>(byte);
    ids[absl::StrCat(spelling, kEndOfWord)] = 256 + next_id;
    ids[spelling] = next_id++;
  }
  next_id = 512;
  // The first line is a comment; what follows the first 48,894 merges is not
  // part of the vocabulary.
  const std::string text = InflateLines(gzipped_merges, 1 + kNumMerges);
  std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  lines.erase(lines.begin());
  merges_.reserve(kNumMerges);
  for (absl::string_view line : lines) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, ' ');
    const auto left = ids.find(parts.first);
    const auto right = ids.find(parts.second);
    // Append relies on this: parts come before the merge that needs them, and
    // no two merges spell the same.
    if (left == ids.end() || right == ids.end() ||
        !ids.emplace(absl::StrCat(parts.first, parts.second), next_id).second) {
      std::abort();
    }
    bytes.push_back(bytes[left->second] + bytes[right->second]);
    merges_[PairKey(left->second, right->second)] = next_id++;
  }
  AddWholeWords(ids, bytes);
}

void BytePairEncoder::AddWholeWords(
    const absl::flat_hash_map<std::string, int32_t>& ids,
    const std::vector<std::string>& bytes) {
  std::vector<int32_t> merged;
  for (const auto& [spelling, id] : ids) {
    if (!absl::EndsWith(spelling, kEndOfWord)) continue;
    // Some are only ever the end of a longer word: by itself the same word is
    // merged from other parts.
    merged.clear();
    Merge(bytes[id], &merged);
    if (merged.size() == 1 && merged[0] == id) words_[bytes[id]] = id;
  }
}

int32_t BytePairEncoder::Merged(int32_t left, int32_t right) const {
  const auto found = merges_.find(PairKey(left, right));
  return found == merges_.end() ? kNoMerge : found->second;
}

void BytePairEncoder::Append(absl::string_view word,
                             std::vector<int32_t>* ids) const {
  const auto whole = words_.find(word);
  if (whole != words_.end()) {
    ids->push_back(whole->second);
  } else {
    Merge(word, ids);
  }
}

void BytePairEncoder::Merge(absl::string_view word,
                            std::vector<int32_t>* ids) const {
  // The symbols of the word, linked in order; a merge keeps its left one.
  struct Symbol {
    int32_t id;
    int32_t merged;  // with the next symbol; kNoMerge also if it is gone
    int32_t previous;
    int32_t next;
  };
  const int32_t length = static_cast<int32_t>(word.size());
  if (length == 0) return;
  absl::InlinedVector<Symbol, 32> symbols(length);
  // Merges to do, by rank and then place. One that was overtaken by another
  // stays behind and is recognised by what its left symbol says now.
  using Step = std::pair<int32_t, int32_t>;  // merged id, left symbol
  std::priority_queue<Step, absl::InlinedVector<Step, 32>, std::greater<Step>>
      steps;
  const auto consider = [&](int32_t left) {
    Symbol& symbol = symbols[left];
    symbol.merged = symbol.next == length
                        ? kNoMerge
                        : Merged(symbol.id, symbols[symbol.next].id);
    if (symbol.merged != kNoMerge) steps.emplace(symbol.merged, left);
  };
  for (int32_t i = 0; i < length; ++i) {
    symbols[i] = {id_of_byte_[static_cast<uint8_t>(word[i])], kNoMerge, i - 1,
                  i + 1};
  }
  symbols[length - 1].id += 256;  // the end of the word
  for (int32_t i = 0; i < length; ++i) consider(i);
  while (!steps.empty()) {
    const auto [merged, left] = steps.top();
    steps.pop();
    if (symbols[left].merged != merged) continue;
    // The reference merges every place of a pair before it looks for the next
    // pair. Taking them one by one is the same: a merge only creates
    // neighbours whose merges come later in the list.
    Symbol& symbol = symbols[left];
    Symbol& right = symbols[symbol.next];
    symbol.id = merged;
    symbol.next = right.next;
    right.merged = kNoMerge;
    if (symbol.next != length) symbols[symbol.next].previous = left;
    consider(left);
    if (symbol.previous >= 0) consider(symbol.previous);
  }
  for (int32_t i = 0; i != length; i = symbols[i].next) {
    ids->push_back(symbols[i].id);
  }
}

}  // namespace clip
