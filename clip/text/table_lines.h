// The text tables of data/: lines of fields between single spaces; `#` starts
// a comment line. They are embedded in the binary, so a malformed one is a
// defect of the build and ends the program.
#ifndef ZEROSHOT_CLIP_TEXT_TABLE_LINES_H_
#define ZEROSHOT_CLIP_TEXT_TABLE_LINES_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace clip {

// From a name to the code points it stands for.
using CodePointMap = absl::flat_hash_map<std::string, std::u32string>;

struct TableLine {
  absl::string_view key;  // the first field
  std::vector<absl::string_view> fields;
};

std::vector<TableLine> ParseTable(absl::string_view table);

// One hexadecimal code point.
char32_t ParseCodePoint(absl::string_view field);

// Each field one hexadecimal code point.
std::u32string ParseCodePoints(const std::vector<absl::string_view>& fields);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_TABLE_LINES_H_
