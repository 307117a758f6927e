// ftfy's badness heuristic: does a text hold a sequence of characters that
// hardly anybody writes, but that mojibake is made of?
//
// BADNESS_RE is a choice of short sequences of character classes, without
// repetition. So one pass with a Shift-And automaton (Baeza-Yates and Gonnet,
// "A New Approach to Text Searching", CACM 1992) decides: all sequences lie
// side by side in one word of bits; a set bit means that the text so far ends
// with its sequence up to there.
//
// Thread rule: const methods from any thread once all alternatives are added.
#ifndef ZEROSHOT_CLIP_TEXT_BADNESS_H_
#define ZEROSHOT_CLIP_TEXT_BADNESS_H_

#include <array>
#include <bitset>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace clip {

class BadnessPattern {
 public:
  // Adds a sequence: an optional "^" (start of the text), then for each
  // character its class, ranges of code points as of CodePointSet, `space`,
  // `word`, or several of these joined by commas; a leading `!` negates.
  void AddAlternative(const std::vector<absl::string_view>& elements);

  // Does one of the sequences occur in `text`?
  bool Matches(std::u32string_view text) const;

 private:
  static constexpr size_t kMaxElements = 128;  // the table has 97
  using Bits = std::bitset<kMaxElements>;

  Bits AcceptedBy(char32_t c) const;

  size_t num_elements_ = 0;
  Bits anchored_;  // first elements, of sequences that begin with ^
  Bits floating_;  // first elements, of the others
  Bits last_;      // last elements
  // Which elements accept a character: each character that the table names,
  // and all that it does not, by whether Python calls them space or word.
  absl::flat_hash_map<char32_t, Bits> named_;
  std::array<Bits, 3> unnamed_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_BADNESS_H_
