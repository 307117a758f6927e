// The pre-tokenizers of Hugging Face's tokenizers library, which cut a text
// into words; a model then cuts each word by itself. Names are those of
// tokenizer.json.
#ifndef ZEROSHOT_CLIP_TEXT_PRE_TOKENIZERS_H_
#define ZEROSHOT_CLIP_TEXT_PRE_TOKENIZERS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace clip {

struct Word {
  std::string text;          // UTF-8, not empty
  bool starts_text = false;  // whether it is the beginning of the whole text
};
using Words = std::vector<Word>;

// "WhitespaceSplit": white space is between words.
void SplitAtWhiteSpace(Words* words);

// "BertPreTokenizer": so is it, and each punctuation mark is a word.
void SplitForBert(Words* words);

// "Metaspace": spaces become `replacement`, which is put before a word as well,
// and cuts.
enum class Prepend { kAlways, kFirst, kNever };
void SplitAtMetaspace(absl::string_view replacement, Prepend prepend,
                      bool split, Words* words);

// "Split" at a string, which is not empty, and what becomes of the string.
enum class Delimiter {
  kRemoved,
  kIsolated,
  kMergedWithPrevious,
  kMergedWithNext
};
void SplitAt(absl::string_view pattern, Delimiter delimiter, Words* words);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_PRE_TOKENIZERS_H_
