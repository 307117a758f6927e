// The tokenizer: any bytes.
#include "base/quoted.h"
#include "base/utf8.h"
#include "clip/clip_tokenizer.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto* const tokenizer = new clip::ClipTokenizer;
  const absl::string_view text = fuzz::View(data, size);
  const auto tokens = tokenizer->Encode(text);
  FUZZ_CHECK(tokens.ok() == base::DecodeUtf8(text).ok());
  fuzz::CheckMessage(base::Quoted(text));
  if (!tokens.ok()) {
    fuzz::CheckRefusal(tokens.status());
    return 0;
  }
  FUZZ_CHECK(tokens->size() >= 2);
  FUZZ_CHECK(tokens->front() == clip::ClipTokenizer::kStartOfText);
  FUZZ_CHECK(tokens->back() == clip::ClipTokenizer::kEndOfText);
  for (const int32_t token : *tokens) {
    FUZZ_CHECK(token >= 0 && token < clip::ClipTokenizer::kVocabSize);
  }
  return 0;
}
