// Texts to token ids: what a model's text tower was trained on. Each kind of
// tokenizer is a class of its own; clip_tokenizer.h is CLIP's.
#ifndef ZEROSHOT_CLIP_TOKENIZER_H_
#define ZEROSHOT_CLIP_TOKENIZER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace clip {

// Thread rule: every method may be called from many threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Token ids of `text`, special tokens included; unpadded and never truncated:
  // whether they fit the model is the caller's check, and padding is the
  // tower's.
  //
  // InvalidArgument: `text` is not UTF-8 (the message has the byte offset), or
  // has more than 64 MiB.
  virtual absl::StatusOr<std::vector<int32_t>> Encode(
      absl::string_view text) const = 0;

  // Ids are 0 to this, which is none.
  virtual int32_t vocab_size() const = 0;

  // In words, one line: equal lines, equal ids. Part of a model's fingerprint.
  virtual std::string description() const = 0;

  // Whether the ids of a text that is put together of others, where words part
  // (clip/text/words.h), are theirs put together, between a first and a last
  // token.
  virtual bool WordsPartAtPieces() const { return false; }
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TOKENIZER_H_
