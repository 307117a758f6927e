// Tokenizers that a checkpoint brings along: SentencePiece models, files of
// Hugging Face's tokenizers library, and BERT's word pieces. CLIP's own is
// clip/clip_tokenizer.h. tools/check_tokenizers.py compares the ids with the
// libraries'.
#ifndef ZEROSHOT_CLIP_SUBWORD_TOKENIZER_H_
#define ZEROSHOT_CLIP_SUBWORD_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "clip/text/clean_text.h"
#include "clip/tokenizer.h"

namespace clip {

class SubwordTokenizer : public Tokenizer {
 public:
  // The id of a token by its spelling, such as "</s>" or "<pad>".
  virtual std::optional<int32_t> IdOf(absl::string_view token) const = 0;
};

// What transformers makes of a tokenizer.json: most of its classes keep the
// file's vocabulary and added tokens only.
struct JsonUse {
  enum class Steps {
    kOfFile,
    kT5,          // T5Tokenizer
    kGemma,       // GemmaTokenizer
    kSiglip2,     // Siglip2Tokenizer: Gemma's, and lower case
    kXlmRoberta,  // XLMRobertaTokenizer
  };
  Steps steps = Steps::kOfFile;
  // The tokens before and behind a text by their spellings, empty for none; if
  // not set, those of the steps.
  std::optional<std::pair<std::string, std::string>> around;
};

// tokenizer.json, as the tokenizers library reads it.
//
// These three copy what they need of `file`. InvalidArgument: not such a file,
// damaged, or not supported; the message says what of it.
absl::StatusOr<std::unique_ptr<SubwordTokenizer>> ReadTokenizerJson(
    absl::string_view file, TextCleaning cleaning, const JsonUse& use = {});

// spiece.model or tokenizer.model.
enum class SentencePieceUse {
  kPlain,   // the pieces, as SentencePieceProcessor.encode returns them
  kEnd,     // and the piece </s> or <eos>, as T5 and SigLIP 2 have it
  kSiglip,  // as transformers' SiglipTokenizer uses it, cleaning included
};
absl::StatusOr<std::unique_ptr<SubwordTokenizer>> ReadSentencePiece(
    absl::string_view file, SentencePieceUse use, TextCleaning cleaning);

// spiece.model or sentencepiece.bpe.model, in the place of the tokenizer.json
// that transformers' T5Tokenizer or XLMRobertaTokenizer make of it; `extra_ids`
// is T5's. REQUIRES: these steps. InvalidArgument also: no unigram model.
absl::StatusOr<std::unique_ptr<SubwordTokenizer>> ReadPiecesAsJson(
    absl::string_view file, TextCleaning cleaning, const JsonUse& use,
    int extra_ids = 100);

// vocab.txt of BERT: a piece a line.
absl::StatusOr<std::unique_ptr<SubwordTokenizer>> ReadBertVocabulary(
    absl::string_view file, bool lower_case, TextCleaning cleaning);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_SUBWORD_TOKENIZER_H_
