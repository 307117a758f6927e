// The unigram language model of SentencePiece (Kudo, "Subword Regularization"):
// of all ways to cut a text into pieces the one with the best sum of scores.
//
// Thread rule: immutable once made.
#ifndef ZEROSHOT_CLIP_TEXT_UNIGRAM_H_
#define ZEROSHOT_CLIP_TEXT_UNIGRAM_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "clip/text/piece_trie.h"

namespace clip {

// A part of a text and what it is in the vocabulary.
struct CutPiece {
  absl::string_view text;
  int32_t id = 0;
};

class Unigram {
 public:
  // What a best sum so far is rounded to: SentencePiece keeps float, Hugging
  // Face's tokenizers double. Ties fall differently.
  enum class Sums { kFloat, kDouble };

  // `scores` [ids]; those of pieces in `pieces` are read. A character without
  // a piece of its own costs `unknown_score` and is `unknown_id`.
  Unigram(PieceTrie pieces, std::vector<double> scores, double unknown_score,
          int32_t unknown_id, Sums sums)
      : pieces_(std::move(pieces)),
        scores_(std::move(scores)),
        unknown_score_(unknown_score),
        unknown_id_(unknown_id),
        sums_(sums) {}

  // Sets `*cut` to the pieces of `text`, one for each unknown character. Takes
  // time in proportion to the text times the longest piece.
  void Cut(absl::string_view text, std::vector<CutPiece>* cut) const;

 private:
  template <typename Sum>
  void CutBy(absl::string_view text, std::vector<CutPiece>* cut) const;

  PieceTrie pieces_;
  std::vector<double> scores_;
  double unknown_score_;
  int32_t unknown_id_;
  Sums sums_;
};

// The bytes of the character that `text` starts with, by its first byte, as
// SentencePiece counts them; no more than there are. REQUIRES: not empty.
size_t CharacterLength(absl::string_view text);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_UNIGRAM_H_
