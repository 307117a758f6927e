// The normalizers of Hugging Face's tokenizers library, which change a text
// before it is cut. Names are those of tokenizer.json.
//
// Its classes of characters and its normal forms are of old versions of
// Unicode, its lower case of a new one: data/unicode/tokenizers.txt.
#ifndef ZEROSHOT_CLIP_TEXT_NORMALIZERS_H_
#define ZEROSHOT_CLIP_TEXT_NORMALIZERS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "clip/text/char_map.h"

namespace clip {

// REQUIRES for all: `*text` is UTF-8 and at most base::kMaxTextBytes.

// "Precompiled". It is not what SentencePiece does with the same map: a
// character with its combining marks, if it has less than 6 bytes, is replaced
// as a whole by what stands for its shortest beginning.
void ReplaceByCharMap(const CharMap& map, std::string* text);

// "Lowercase": each character by itself, whatever stands around it.
void LowerEach(std::string* text);

// "Strip": white space at the ends.
void StripSpace(bool left, bool right, std::string* text);

// "Replace" with a string as the pattern, which is not empty.
void ReplaceAll(absl::string_view pattern, absl::string_view content,
                std::string* text);

// "Replace" with the regular expression " {2,}".
void ReplaceRunsOfSpaces(absl::string_view content, std::string* text);

// "NFC", "NFD", "NFKC", "NFKD".
enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
void ToNormalForm(NormalForm form, std::string* text);

// "StripAccents": takes combining marks away.
void StripAccents(std::string* text);

// "BertNormalizer".
struct BertCleaning {
  bool clean_text = true;            // no controls, white space as spaces
  bool handle_chinese_chars = true;  // spaces around ideographs
  bool strip_accents = true;         // NFD without nonspacing marks
  bool lowercase = true;
};
void CleanForBert(const BertCleaning& cleaning, std::string* text);

// Punctuation of "BertPreTokenizer".
bool IsBertPunctuation(char32_t c);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_NORMALIZERS_H_
