// The tokenizers that checkpoints bring along. The first byte says which and
// where the file ends and a text begins; either may be anything.
#include <algorithm>

#include "base/utf8.h"
#include "clip/subword_tokenizer.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const size_t text_size = std::min<size_t>(data[1], size - 2);
  const absl::string_view text = fuzz::View(data + 2, text_size);
  const absl::string_view file =
      fuzz::View(data + 2 + text_size, size - 2 - text_size);
  const auto cleaning = data[0] & 8 ? clip::TextCleaning::kCanonicalize
                                    : clip::TextCleaning::kNone;
  absl::StatusOr<std::unique_ptr<clip::SubwordTokenizer>> made =
      absl::InvalidArgumentError("");
  switch (data[0] % 5) {
    case 0:
      made = clip::ReadSentencePiece(file, clip::SentencePieceUse::kPlain,
                                     cleaning);
      break;
    case 1:
      made = clip::ReadSentencePiece(file, clip::SentencePieceUse::kSiglip,
                                     cleaning);
      break;
    case 2:
      made = clip::ReadBertVocabulary(file, data[0] & 16, cleaning);
      break;
    default:
      made = clip::ReadTokenizerJson(file, cleaning);
  }
  if (!made.ok()) {
    fuzz::CheckRefusal(made.status());
    return 0;
  }
  const auto ids = (*made)->Encode(text);
  FUZZ_CHECK(ids.ok() == base::DecodeUtf8(text).ok());
  if (!ids.ok()) {
    fuzz::CheckRefusal(ids.status());
    return 0;
  }
  for (const int32_t id : *ids) {
    FUZZ_CHECK(id >= 0 && id < (*made)->vocab_size());
  }
  return 0;
}
