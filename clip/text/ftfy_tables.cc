#include "clip/text/ftfy_tables.h"

#include <cstdlib>

#include "clip/embedded_text_tables.h"

namespace clip {
namespace {

constexpr char kLostByte = 0x1A;

CodePointSet* SetNamed(absl::string_view name, FtfyTables* tables) {
  if (name == "utf8_first_of_2") return &tables->utf8_first_of[2];
  if (name == "utf8_first_of_3") return &tables->utf8_first_of[3];
  if (name == "utf8_first_of_4") return &tables->utf8_first_of[4];
  if (name == "utf8_continuation") return &tables->utf8_continuation;
  if (name == "utf8_continuation_strict") {
    return &tables->utf8_continuation_strict;
  }
  std::abort();  // the table is embedded: a defect of the build
}

void AddLine(const TableLine& line, FtfyTables* tables) {
  std::vector<absl::string_view> rest = line.fields;
  if (line.key == "badness") {
    tables->badness.AddAlternative(rest);
    return;
  }
  const absl::string_view name = rest.front();
  rest.erase(rest.begin());
  if (line.key == "codec") {
    tables->codecs.emplace_back(name, ParseCodePoints(rest));
  } else if (line.key == "set") {
    *SetNamed(name, tables) = CodePointSet::Parse(rest.front());
  } else if (line.key == "replace") {
    tables->replacements.emplace(ParseCodePoint(name), ParseCodePoints(rest));
  } else if (line.key == "entity") {
    tables->entities.emplace(name, ParseCodePoints(rest));
  } else {
    std::abort();
  }
}

}  // namespace

SingleByteCodec::SingleByteCodec(absl::string_view name,
                                 const std::u32string& upper_half)
    : name_(name) {
  if (upper_half.size() != 129) std::abort();
  for (int byte = 0; byte < 0x80; ++byte) {
    if (byte != kLostByte) bytes_[byte] = static_cast<char>(byte);
  }
  for (int i = 0; i < 0x80; ++i) {
    bytes_[upper_half[i]] = static_cast<char>(0x80 + i);
  }
  bytes_[upper_half[128]] = kLostByte;
}

std::optional<std::string> SingleByteCodec::Encode(
    std::u32string_view text) const {
  std::string bytes;
  bytes.reserve(text.size());
  for (const char32_t c : text) {
    const auto found = bytes_.find(c);
    if (found == bytes_.end()) return std::nullopt;
    bytes.push_back(found->second);
  }
  return bytes;
}

const FtfyTables& Tables() {
  static const auto* const tables = [] {
    auto* result = new FtfyTables;
    for (const TableLine& line : ParseTable(embedded::FtfyTables())) {
      AddLine(line, result);
    }
    return result;
  }();
  return *tables;
}

char32_t Windows1252OfC1(char32_t c1_control) {
  // The first step of `replacements`; the later ones change three quotes.
  static constexpr char32_t kCharacters[] =
      U"\u20AC\u0081\u201A\u0192\u201E\u2026\u2020\u2021"
      U"\u02C6\u2030\u0160\u2039\u0152\u008D\u017D\u008F"
      U"\u0090\u2018\u2019\u201C\u201D\u2022\u2013\u2014"
      U"\u02DC\u2122\u0161\u203A\u0153\u009D\u017E\u0178";
  return kCharacters[c1_control - 0x80];
}

}  // namespace clip
