// CLIP's byte-pair tokenizer, identical to openai/CLIP's simple_tokenizer.py:
// ftfy.fix_text, html.unescape twice, whitespace folded, Python's lower(), the
// reference's word pattern, then BPE over the 48,894 merges embedded in the
// binary (data/). The steps are in clip/text/; tools/check_tokenizer.py
// compares the ids with the reference's on as many strings as one likes.
//
// Time grows in proportion to the text, but for two oddities whose loops the
// reference has too: "&amp;amp;amp;..." and thousands of combining marks on
// one letter. Callers who serve strangers bound the length of a prompt.
//
// Thread rule: Encode may be called from many threads at once.
#ifndef ZEROSHOT_CLIP_TOKENIZER_H_
#define ZEROSHOT_CLIP_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace clip {

class Tokenizer {
 public:
  static constexpr int32_t kStartOfText = 49406;
  static constexpr int32_t kEndOfText = 49407;
  static constexpr int32_t kVocabSize = 49408;

  Tokenizer();
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Token ids of `text`: start token, words, end token; unpadded and never
  // truncated (whether it fits the model is the caller's check).
  //
  // InvalidArgument: `text` is not UTF-8 (the message has the byte offset), or
  // has more than 64 MiB.
  absl::StatusOr<std::vector<int32_t>> Encode(absl::string_view text) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TOKENIZER_H_
