#include "clip/text/table_lines.h"

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_split.h"

namespace clip {

std::vector<TableLine> ParseTable(absl::string_view table) {
  std::vector<TableLine> lines;
  for (absl::string_view text :
       absl::StrSplit(table, '\n', absl::SkipEmpty())) {
    if (text[0] == '#') continue;
    TableLine line;
    line.fields = absl::StrSplit(text, ' ');
    line.key = line.fields.front();
    line.fields.erase(line.fields.begin());
    lines.push_back(std::move(line));
  }
  return lines;
}

char32_t ParseCodePoint(absl::string_view field) {
  uint32_t value = 0;
  const char* const end = field.data() + field.size();
  const auto [stop, error] = std::from_chars(field.data(), end, value, 16);
  if (error != std::errc() || stop != end || value > 0x10FFFF) std::abort();
  return static_cast<char32_t>(value);
}

std::u32string ParseCodePoints(const std::vector<absl::string_view>& fields) {
  std::u32string text;
  for (absl::string_view field : fields) text.push_back(ParseCodePoint(field));
  return text;
}

}  // namespace clip
