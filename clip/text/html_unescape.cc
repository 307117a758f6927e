#include "clip/text/html_unescape.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "clip/embedded_text_tables.h"
#include "clip/text/ftfy_tables.h"
#include "clip/text/table_lines.h"

namespace clip {
namespace {

constexpr size_t kLongestName = 32;      // without the semicolon
constexpr size_t kLongestFtfyName = 24;  // likewise

const CodePointMap& Html5Entities() {
  static const auto* const entities = [] {
    auto* map = new CodePointMap;
    for (const TableLine& line : ParseTable(embedded::Html5Entities())) {
      map->emplace(line.key, ParseCodePoints(line.fields));
    }
    return map;
  }();
  return *entities;
}

bool IsAscii(char32_t c) { return c < 0x80; }

bool IsAlphanumeric(char32_t c) { return IsAscii(c) && absl::ascii_isalnum(c); }

// What a number stands for: "" for one that HTML forbids outright.
std::u32string CharacterOf(uint32_t number) {
  if (number == 0) return U"\uFFFD";
  if (number == 0x0D) return U"\r";
  if (number >= 0x80 && number <= 0x9F) {
    return {Windows1252OfC1(static_cast<char32_t>(number))};
  }
  if ((number >= 0xD800 && number <= 0xDFFF) || number > 0x10FFFF) {
    return U"\uFFFD";
  }
  const bool control = number < 0x09 || number == 0x0B ||
                       (number >= 0x0E && number <= 0x1F) || number == 0x7F;
  const bool noncharacter =
      (number >= 0xFDD0 && number <= 0xFDEF) || (number & 0xFFFE) == 0xFFFE;
  if (control || noncharacter) return {};
  return {static_cast<char32_t>(number)};
}

// A reference found at the start of some text: how much of the text it is
// (the ampersand included) and what it stands for.
struct Reference {
  size_t length;
  std::u32string value;
};

// `&#123;`, `&#x7b`: REQUIRES text[0] == '&'.
std::optional<Reference> NumericReference(std::u32string_view text) {
  if (text.size() < 3 || text[1] != U'#') return std::nullopt;
  const bool hexadecimal = text[2] == U'x' || text[2] == U'X';
  const size_t start = hexadecimal ? 3 : 2;
  size_t end = start;
  uint32_t number = 0;
  for (; end < text.size() && IsAscii(text[end]); ++end) {
    const unsigned char c = static_cast<unsigned char>(text[end]);
    if (!(hexadecimal ? absl::ascii_isxdigit(c) : absl::ascii_isdigit(c))) {
      break;
    }
    const uint32_t digit =
        absl::ascii_isdigit(c) ? c - '0' : absl::ascii_tolower(c) - 'a' + 10;
    // Saturates above the last code point, so that no number wraps around.
    number =
        std::min<uint32_t>(number * (hexadecimal ? 16 : 10) + digit, 0x110000);
  }
  if (end == start) return std::nullopt;
  if (end < text.size() && text[end] == U';') ++end;
  return Reference{end, CharacterOf(number)};
}

// `&amp;`, `&ampere` (whose first four characters count).
// REQUIRES text[0] == '&'.
std::optional<Reference> NamedReference(std::u32string_view text) {
  std::string name;  // characters outside ASCII stand as '?', in no name
  size_t end = 1;
  constexpr std::u32string_view kStops = U"\t\n\f <&#;";
  while (end < text.size() && name.size() < kLongestName &&
         kStops.find(text[end]) == std::u32string_view::npos) {
    name.push_back(IsAscii(text[end]) ? static_cast<char>(text[end]) : '?');
    ++end;
  }
  if (name.empty()) return std::nullopt;
  if (end < text.size() && text[end] == U';') {
    name.push_back(';');
    ++end;
  }
  for (size_t length = name.size(); length >= 2; --length) {
    const auto found =
        Html5Entities().find(absl::string_view(name).substr(0, length));
    if (found == Html5Entities().end()) continue;
    return Reference{end, found->second + std::u32string(text.substr(
                                              1 + length, end - 1 - length))};
  }
  // Not a name: the reference passes over all of it, ampersand and all.
  return Reference{end, std::u32string(text.substr(0, end))};
}

// The reference that ftfy sees at the start of `text`, which is `&`.
std::optional<Reference> FtfyReference(std::u32string_view text) {
  const size_t start = text.size() > 1 && text[1] == U'#' ? 2 : 1;
  size_t end = start;
  while (end < text.size() && end - start < kLongestFtfyName &&
         IsAlphanumeric(text[end])) {
    ++end;
  }
  if (end == start || end == text.size() || text[end] != U';') {
    return std::nullopt;
  }
  ++end;
  if (start == 2) {
    std::u32string value = HtmlUnescape(text.substr(0, end));
    // Left alone unless the semicolon was part of it (ftfy's way of asking
    // also leaves &#59; alone, which is a semicolon).
    if (value.find(U';') != std::u32string::npos) return std::nullopt;
    return Reference{end, std::move(value)};
  }
  const std::string name(text.begin() + 1, text.begin() + end);
  for (const CodePointMap* names : {&Html5Entities(), &Tables().entities}) {
    const auto found = names->find(name);
    if (found != names->end()) return Reference{end, found->second};
  }
  return std::nullopt;
}

template <typename FindReference>
std::u32string ReplaceReferences(std::u32string_view text,
                                 FindReference find_reference) {
  std::u32string result;
  result.reserve(text.size());
  while (!text.empty()) {
    if (text[0] == U'&') {
      if (std::optional<Reference> found = find_reference(text)) {
        result += found->value;
        text.remove_prefix(found->length);
        continue;
      }
    }
    result.push_back(text[0]);
    text.remove_prefix(1);
  }
  return result;
}

}  // namespace

std::u32string HtmlUnescape(std::u32string_view text) {
  return ReplaceReferences(text, [](std::u32string_view rest) {
    std::optional<Reference> found = NumericReference(rest);
    return found ? found : NamedReference(rest);
  });
}

std::u32string FtfyUnescapeHtml(std::u32string_view text) {
  return ReplaceReferences(text, FtfyReference);
}

}  // namespace clip
