// A tokenizer as tokenizer.json of Hugging Face's tokenizers library describes
// it: added tokens, a normalizer, a pre-tokenizer, a model and a
// post-processor. What the library has and this has not is refused by the name
// that the file gives it.
//
// Thread rule: const methods from any thread.
#ifndef ZEROSHOT_CLIP_TEXT_JSON_TOKENIZER_H_
#define ZEROSHOT_CLIP_TEXT_JSON_TOKENIZER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "clip/subword_tokenizer.h"
#include "clip/text/added_tokens.h"
#include "clip/text/pre_tokenizers.h"
#include "clip/text/subwords.h"

namespace clip {

class JsonTokenizer {
 public:
  // "truncation", "padding" and "decoder" are not read: a tower pads, and
  // nothing here truncates.
  //
  // InvalidArgument: not such a file, damaged, or not supported; the message
  // names the part.
  static absl::StatusOr<std::unique_ptr<JsonTokenizer>> Parse(
      absl::string_view file, const JsonUse& use);

  // BERT's, of the lines of a vocab.txt: what transformers' BertTokenizer makes
  // of it. InvalidArgument: [UNK], [CLS] or [SEP] is missing.
  static absl::StatusOr<std::unique_ptr<JsonTokenizer>> ForBert(
      absl::string_view vocabulary, bool lower_case);

  // Appends the ids of `text`, with those that the post-processor puts around
  // it. REQUIRES: at most base::kMaxTextBytes of UTF-8.
  void Append(absl::string_view text, std::vector<int32_t>* ids) const;

  // The id of a token, be it the model's or an added one.
  std::optional<int32_t> IdOf(absl::string_view token) const;

  int32_t vocab_size() const { return vocab_size_; }

 private:
  friend class TokenizerJsonReader;

  JsonTokenizer() = default;

  void AppendPart(absl::string_view text, bool starts_text,
                  std::vector<int32_t>* ids) const;

  std::vector<std::function<void(std::string*)>> normalizers_;
  std::vector<std::function<void(Words*)>> pre_tokenizers_;
  std::unique_ptr<const Subwords> model_;
  std::vector<AddedToken> all_added_;
  AddedTokens added_;             // found in the text as it came
  AddedTokens normalized_added_;  // found in the normalized text
  std::vector<int32_t> before_, after_;
  int32_t vocab_size_ = 0;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_JSON_TOKENIZER_H_
