// The file of a SentencePiece model (google/sentencepiece,
// sentencepiece_model.proto: ModelProto): `spiece.model`, `tokenizer.model`,
// `sentencepiece.bpe.model`. Its few fields are read here, because Debian's
// libsentencepiece brings a protobuf of its own, which ends a program that has
// another.
#ifndef ZEROSHOT_CLIP_TEXT_SENTENCEPIECE_MODEL_H_
#define ZEROSHOT_CLIP_TEXT_SENTENCEPIECE_MODEL_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace clip {

struct SentencePieceModel {
  enum class Kind { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };
  enum class Type {
    kNormal = 1,
    kUnknown = 2,
    kControl = 3,
    kUserDefined = 4,
    kUnused = 5,
    kByte = 6,
  };
  struct Piece {
    absl::string_view text;
    float score = 0;
    Type type = Type::kNormal;
  };

  std::vector<Piece> pieces;  // by id
  Kind kind = Kind::kUnigram;
  bool byte_fallback = false;
  bool whitespace_as_suffix = false;
  absl::string_view charsmap;  // clip/text/char_map.h
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

// The model in `file`, which must outlive what is returned.
//
// InvalidArgument: not such a file, damaged, or more than kMaxVocabulary
// pieces; the message says which field.
absl::StatusOr<SentencePieceModel> ReadSentencePieceModel(
    absl::string_view file);

// Far above any published model.
inline constexpr int32_t kMaxVocabulary = 1 << 24;

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_SENTENCEPIECE_MODEL_H_
