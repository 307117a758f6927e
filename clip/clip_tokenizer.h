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
#ifndef ZEROSHOT_CLIP_CLIP_TOKENIZER_H_
#define ZEROSHOT_CLIP_CLIP_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "clip/tokenizer.h"

namespace clip {

class ClipTokenizer : public Tokenizer {
 public:
  static constexpr int32_t kStartOfText = 49406;
  static constexpr int32_t kEndOfText = 49407;
  static constexpr int32_t kVocabSize = 49408;

  ClipTokenizer();
  ~ClipTokenizer() override;

  // Start token, words, end token.
  absl::StatusOr<std::vector<int32_t>> Encode(
      absl::string_view text) const override;
  int32_t vocab_size() const override { return kVocabSize; }
  std::string description() const override;
  bool WordsPartAtPieces() const override { return true; }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// One for all.
std::shared_ptr<const Tokenizer> SharedClipTokenizer();

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CLIP_TOKENIZER_H_
