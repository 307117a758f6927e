// What ftfy 6.3.1 knows about characters, read from data/ftfy/tables.txt
// (tools/extract_text_tables.py says what its lines mean).
//
// Thread rule: Tables() may be called from any thread; its result never
// changes.
#ifndef ZEROSHOT_CLIP_TEXT_FTFY_TABLES_H_
#define ZEROSHOT_CLIP_TEXT_FTFY_TABLES_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "clip/text/badness.h"
#include "clip/text/code_point_set.h"
#include "clip/text/table_lines.h"

namespace clip {

// One of the encodings that text may wrongly have been decoded from. The
// "sloppy" ones of ftfy give every byte a meaning, and byte 1A stands for
// U+FFFD, a character that was lost.
class SingleByteCodec {
 public:
  // `upper_half`: what the bytes 80 to FF, then 1A, decode to.
  SingleByteCodec(absl::string_view name, const std::u32string& upper_half);

  const std::string& name() const { return name_; }
  bool is_sloppy() const { return name_.rfind("sloppy", 0) == 0; }

  // Nothing if one of the characters is not in the encoding.
  std::optional<std::string> Encode(std::u32string_view text) const;

 private:
  std::string name_;
  absl::flat_hash_map<char32_t, char> bytes_;
};

struct FtfyTables {
  std::vector<SingleByteCodec> codecs;  // in the order in which ftfy tries them

  // C1 controls, ligatures, fullwidth and halfwidth forms and curly quotes,
  // and what ftfy makes of them.
  absl::flat_hash_map<char32_t, std::u32string> replacements;

  CodePointMap entities;  // upper-cased names beyond HTML5's: "NTILDE;"

  BadnessPattern badness;

  // What the bytes of a UTF-8 sequence look like in the wrong encoding: the
  // first of a sequence of [n] bytes, and the others. The strict set lacks
  // what also stands for itself next to mojibake: space, dashes, quotes.
  std::array<CodePointSet, 5> utf8_first_of;  // [2], [3] and [4] are used
  CodePointSet utf8_continuation;
  CodePointSet utf8_continuation_strict;
};

const FtfyTables& Tables();

// What windows-1252, as browsers have it, says to a C1 control (U+0080 to
// U+009F); five of them stay as they are.
char32_t Windows1252OfC1(char32_t c1_control);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_FTFY_TABLES_H_
