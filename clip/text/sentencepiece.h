// SentencePiece, as its library encodes (Kudo and Richardson, "SentencePiece"):
// the text is normalised, spaces become U+2581, and all of it is cut into
// pieces at once, by the unigram model or by merges.
//
// Thread rule: const methods from any thread.
#ifndef ZEROSHOT_CLIP_TEXT_SENTENCEPIECE_H_
#define ZEROSHOT_CLIP_TEXT_SENTENCEPIECE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "clip/text/char_map.h"
#include "clip/text/piece_trie.h"
#include "clip/text/sentencepiece_model.h"
#include "clip/text/unigram.h"

namespace clip {

class SentencePiece {
 public:
  // Copies what it needs of the model.
  //
  // InvalidArgument: a kind other than unigram and BPE; no unknown piece, or
  // two; pieces that are empty or there twice; byte pieces that are not all 256
  // or that nothing uses; a damaged charsmap.
  static absl::StatusOr<std::unique_ptr<SentencePiece>> Create(
      const SentencePieceModel& model);

  // Appends the ids of `text`, which are SentencePieceProcessor::Encode's: no
  // start and no end. REQUIRES: at most base::kMaxTextBytes of UTF-8.
  void Append(absl::string_view text, std::vector<int32_t>* ids) const;

  // The id of the piece that is spelled so, of whatever type.
  std::optional<int32_t> IdOf(absl::string_view piece) const;

  int32_t vocab_size() const { return static_cast<int32_t>(types_.size()); }

 private:
  explicit SentencePiece(const SentencePieceModel& model);

  absl::Status AddPieces(const SentencePieceModel& model);
  absl::Status AddBytes(const SentencePieceModel& model);
  void MakeUnigram(const SentencePieceModel& model);

  std::string Normalize(absl::string_view text) const;
  // The text's next part, and what it becomes.
  CharMap::Match NormalizePrefix(absl::string_view text) const;
  void Merge(absl::string_view text, std::vector<CutPiece>* cut) const;
  // Of those that text is cut into; else the unknown one.
  int32_t PieceId(absl::string_view piece) const;

  const bool whitespace_as_suffix_;
  const bool add_dummy_prefix_;
  const bool remove_extra_whitespaces_;
  const absl::string_view space_;  // what a space becomes
  CharMap char_map_;
  PieceTrie user_defined_;

  std::vector<std::string> spellings_;  // of all pieces, by id
  std::vector<SentencePieceModel::Type> types_;
  std::vector<float> scores_;
  // Ids of the pieces that text is cut into, and of the others: unknown,
  // control and bytes. Keys are in spellings_.
  absl::flat_hash_map<absl::string_view, int32_t> pieces_;
  absl::flat_hash_map<absl::string_view, int32_t> reserved_;
  int32_t unknown_id_ = -1;
  std::optional<std::array<int32_t, 256>> bytes_;  // with byte fallback
  std::optional<Unigram> unigram_;                 // else by merges
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_SENTENCEPIECE_H_
