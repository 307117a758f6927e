#include "clip/text/sentencepiece_model.h"

#include <string>

#include "absl/base/casts.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/little_endian.h"

namespace clip {
namespace {

// Walks over the fields of a message in protobuf's wire format.
class Fields {
 public:
  explicit Fields(absl::string_view message) : rest_(message) {}

  // Moves to the next field; false at the end and at damage.
  bool Next() {
    if (rest_.empty() || damaged_) return false;
    uint64_t key = 0;
    if (!TakeVarint(&key)) return Damaged();
    number_ = static_cast<int>(key >> 3 & 0x1FFFFFFF);
    kind_ = static_cast<Wire>(key & 7);
    switch (kind_) {
      case Wire::kVarint:
        return TakeVarint(&varint_) || Damaged();
      case Wire::kBytes: {
        uint64_t length = 0;
        return (TakeVarint(&length) && TakeBytes(length)) || Damaged();
      }
      case Wire::kFixed32:
        return TakeBytes(4) || Damaged();
      case Wire::kFixed64:
        return TakeBytes(8) || Damaged();
    }
    return Damaged();  // groups, which these messages do not have
  }

  int number() const { return number_; }
  bool damaged() const { return damaged_; }

  // The field's value, if it is of that kind; else it is damage.
  bool Get(absl::string_view* bytes) {
    if (kind_ != Wire::kBytes) return Damaged();
    *bytes = bytes_;
    return true;
  }
  bool Get(bool* flag) {
    if (kind_ != Wire::kVarint) return Damaged();
    *flag = varint_ != 0;
    return true;
  }
  bool Get(float* number) {
    if (kind_ != Wire::kFixed32) return Damaged();
    *number = absl::bit_cast<float>(
        static_cast<uint32_t>(base::LittleEndian(bytes_)));
    return true;
  }
  // Enumerators from 1 to `last`.
  template <typename Enum>
  bool Get(Enum* value, Enum last) {
    if (kind_ != Wire::kVarint || varint_ < 1 ||
        varint_ > static_cast<uint64_t>(last)) {
      return Damaged();
    }
    *value = static_cast<Enum>(varint_);
    return true;
  }

 private:
  enum class Wire { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

  bool Damaged() {
    damaged_ = true;
    return false;
  }

  bool TakeVarint(uint64_t* value) {
    *value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      *value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  bool TakeBytes(uint64_t length) {
    if (length > rest_.size()) return false;
    bytes_ = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return true;
  }

  absl::string_view rest_;
  int number_ = 0;
  Wire kind_ = Wire::kVarint;
  uint64_t varint_ = 0;
  absl::string_view bytes_;
  bool damaged_ = false;
};

// Calls `take(fields)` at each field of a message; false at damage.
template <typename Take>
bool ForEachField(absl::string_view message, Take take) {
  Fields fields(message);
  while (fields.Next()) take(&fields);
  return !fields.damaged();
}

bool ReadPiece(absl::string_view message, SentencePieceModel::Piece* piece) {
  return ForEachField(message, [&](Fields* fields) {
    switch (fields->number()) {
      case 1:
        fields->Get(&piece->text);
        break;
      case 2:
        fields->Get(&piece->score);
        break;
      case 3:
        fields->Get(&piece->type, SentencePieceModel::Type::kByte);
        break;
    }
  });
}

bool ReadTrainer(absl::string_view message, SentencePieceModel* model) {
  return ForEachField(message, [&](Fields* fields) {
    switch (fields->number()) {
      case 3:
        fields->Get(&model->kind, SentencePieceModel::Kind::kChar);
        break;
      case 24:
        fields->Get(&model->whitespace_as_suffix);
        break;
      case 35:
        fields->Get(&model->byte_fallback);
        break;
    }
  });
}

bool ReadNormalizer(absl::string_view message, SentencePieceModel* model) {
  return ForEachField(message, [&](Fields* fields) {
    switch (fields->number()) {
      case 2:
        fields->Get(&model->charsmap);
        break;
      case 3:
        fields->Get(&model->add_dummy_prefix);
        break;
      case 4:
        fields->Get(&model->remove_extra_whitespaces);
        break;
      case 5:
        fields->Get(&model->escape_whitespaces);
        break;
    }
  });
}

}  // namespace

absl::StatusOr<SentencePieceModel> ReadSentencePieceModel(
    absl::string_view file) {
  SentencePieceModel model;
  std::string wrong;
  const bool whole = ForEachField(file, [&](Fields* fields) {
    absl::string_view part;
    if (fields->number() < 1 || fields->number() > 3 || !fields->Get(&part))
      return;
    if (fields->number() == 1) {
      if (model.pieces.size() == kMaxVocabulary) return;
      if (!ReadPiece(part, &model.pieces.emplace_back()) && wrong.empty())
        wrong = absl::StrCat("piece ", model.pieces.size() - 1);
    } else if (fields->number() == 2 && !ReadTrainer(part, &model)) {
      wrong = "the trainer's part";
    } else if (fields->number() == 3 && !ReadNormalizer(part, &model)) {
      wrong = "the normalizer's part";
    }
  });
  if (!wrong.empty() || !whole) {
    return absl::InvalidArgumentError(absl::StrCat(
        "it is no SentencePiece model, or damaged", wrong.empty() ? "" : ": ",
        wrong.empty() ? "" : wrong, wrong.empty() ? "" : " cannot be read"));
  }
  if (model.pieces.empty() || model.pieces.size() == kMaxVocabulary) {
    return absl::InvalidArgumentError(
        absl::StrCat("it has ", model.pieces.size(), " pieces; 1 to ",
                     kMaxVocabulary - 1, " are allowed"));
  }
  return model;
}

}  // namespace clip
