#include "clip/text/char_map.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/little_endian.h"
#include "base/utf8.h"

namespace clip {
namespace {

constexpr size_t kUnit = sizeof(uint32_t);

// What a unit of the double array says.
bool HasLeaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t LeafValue(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t Label(uint32_t unit) { return unit & 0x800000FF; }
uint32_t Offset(uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }

}  // namespace

absl::StatusOr<CharMap> CharMap::Parse(absl::string_view bytes) {
  CharMap map;
  if (bytes.empty()) return map;
  const uint64_t trie =
      bytes.size() < kUnit ? 0 : base::LittleEndian(bytes.substr(0, kUnit));
  if (trie == 0 || trie % kUnit != 0 || trie >= bytes.size() - kUnit) {
    return absl::InvalidArgumentError(
        absl::StrCat("its charsmap of ", bytes.size(),
                     " bytes is damaged: the trie would have ", trie));
  }
  for (size_t i = kUnit; i < kUnit + trie; i += kUnit) {
    map.units_.push_back(
        static_cast<uint32_t>(base::LittleEndian(bytes.substr(i, kUnit))));
  }
  map.replacements_ = std::string(bytes.substr(kUnit + trie));
  if (map.replacements_.back() != '\0' ||
      map.replacements_.size() > base::kMaxTextBytes ||
      !base::DecodeUtf8(map.replacements_).ok()) {
    return absl::InvalidArgumentError(
        "its charsmap is damaged: the replacements are not UTF-8 with a NUL "
        "after each");
  }
  return map;
}

CharMap::Match CharMap::Find(absl::string_view text, bool shortest) const {
  Match match;
  if (units_.empty()) return match;
  uint32_t place = Offset(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const unsigned char byte = text[i];
    place ^= byte;
    if (place >= units_.size() || Label(units_[place]) != byte) break;
    const uint32_t unit = units_[place];
    place ^= Offset(unit);
    if (!HasLeaf(unit) || place >= units_.size()) continue;
    const uint32_t at = LeafValue(units_[place]);
    if (at >= replacements_.size()) continue;
    // Up to the NUL that there is.
    match = {i + 1, absl::string_view(replacements_.c_str() + at)};
    if (shortest) break;
  }
  return match;
}

CharMap::Match CharMap::Longest(absl::string_view text) const {
  return Find(text, /*shortest=*/false);
}

CharMap::Match CharMap::Shortest(absl::string_view text) const {
  return Find(text, /*shortest=*/true);
}

}  // namespace clip
