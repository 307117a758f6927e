#include "clip/text/normalizers.h"

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/utf8.h"
#include "clip/embedded_text_tables.h"
#include "clip/text/code_point_set.h"
#include "clip/text/table_lines.h"
#include "clip/text/unicode.h"

namespace clip {
namespace {

// What the library's crates know, taken from it character by character.
struct LibraryTables {
  CodePointSet control;      // with U+FFFD
  CodePointSet punctuation;  // with ASCII's symbols
  CodePointSet nonspacing;   // marks
  CodePointSet combining;    // marks
  // Lower case that Unicode 14 does not have.
  absl::flat_hash_map<char32_t, char32_t> lower;

  static const LibraryTables& Get() {
    static const auto* const tables = [] {
      auto* result = new LibraryTables;
      for (const TableLine& line : ParseTable(embedded::TokenizersTables())) {
        if (line.key == "lower") {
          result->lower[ParseCodePoint(line.fields[0])] =
              ParseCodePoint(line.fields[1]);
          continue;
        }
        CodePointSet* set = line.key == "control"       ? &result->control
                            : line.key == "punctuation" ? &result->punctuation
                            : line.key == "nonspacing"  ? &result->nonspacing
                                                        : &result->combining;
        *set = CodePointSet::Parse(line.fields.front());
      }
      return result;
    }();
    return *tables;
  }
};

char32_t Lower(char32_t c) {
  if (c < 0x80) return absl::ascii_tolower(static_cast<unsigned char>(c));
  const auto& lower = LibraryTables::Get().lower;
  const auto found = lower.find(c);
  return found != lower.end()
             ? found->second
             : static_cast<char32_t>(u_tolower(static_cast<UChar32>(c)));
}

bool IsAscii(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c < 0x80; });
}

// REQUIRES: UTF-8, which all steps keep.
std::u32string Decoded(absl::string_view text) {
  return base::DecodeUtf8(text).value_or(std::u32string());
}

// The grapheme clusters of UAX #29. Its rule for conjuncts of Indic scripts
// (GB9c) is left out: ICU has its property from Unicode 15.1 on, and clusters
// of 6 bytes, which two of those letters have, are treated by the character.
class ClusterScanner {
 public:
  // REQUIRES: UTF-8, which outlives this object.
  explicit ClusterScanner(absl::string_view text) : rest_(text) {}

  // False at the end.
  bool Next(absl::string_view* cluster) {
    if (rest_.empty()) return false;
    size_t end = 0;
    Begin(rest_, &end);
    for (size_t next = end; next < rest_.size(); end = next) {
      if (!GoesOn(rest_, &next)) break;
    }
    *cluster = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return true;
  }

 private:
  static int32_t BreakOf(UChar32 c) {
    return u_getIntPropertyValue(c, UCHAR_GRAPHEME_CLUSTER_BREAK);
  }

  void Begin(absl::string_view text, size_t* position) {
    const UChar32 c = base::NextCodePoint(text, position);
    last_ = BreakOf(c);
    flags_ = last_ == U_GCB_REGIONAL_INDICATOR ? 1 : 0;
    pictograph_ = IsPictograph(c);
    after_joiner_ = false;
  }

  static bool IsPictograph(UChar32 c) {
    return u_hasBinaryProperty(c, UCHAR_EXTENDED_PICTOGRAPHIC);
  }

  // Whether the character at `*position` belongs to the cluster, too.
  bool GoesOn(absl::string_view text, size_t* position) {
    const UChar32 c = base::NextCodePoint(text, position);
    const int32_t kind = BreakOf(c);
    const bool pictograph = IsPictograph(c);
    const bool flag = kind == U_GCB_REGIONAL_INDICATOR;
    const bool joined = Joined(kind) || (pictograph && after_joiner_) ||
                        (flag && last_ == kind && flags_ % 2 == 1);
    flags_ = flag ? flags_ + 1 : 0;
    after_joiner_ = pictograph_ && kind == U_GCB_ZWJ;
    if (kind != U_GCB_EXTEND && kind != U_GCB_ZWJ) pictograph_ = pictograph;
    last_ = kind;
    return joined;
  }

  bool Joined(int32_t kind) const {
    const auto parts = [](int32_t k) {
      return k == U_GCB_CONTROL || k == U_GCB_CR || k == U_GCB_LF;
    };
    if (last_ == U_GCB_CR && kind == U_GCB_LF) return true;
    if (parts(last_) || parts(kind)) return false;
    if (last_ == U_GCB_L && (kind == U_GCB_L || kind == U_GCB_V ||
                             kind == U_GCB_LV || kind == U_GCB_LVT)) {
      return true;
    }
    if ((last_ == U_GCB_LV || last_ == U_GCB_V) &&
        (kind == U_GCB_V || kind == U_GCB_T)) {
      return true;
    }
    if ((last_ == U_GCB_LVT || last_ == U_GCB_T) && kind == U_GCB_T)
      return true;
    return kind == U_GCB_EXTEND || kind == U_GCB_ZWJ ||
           kind == U_GCB_SPACING_MARK || last_ == U_GCB_PREPEND;
  }

  absl::string_view rest_;
  int32_t last_ = 0;           // class of the last character
  int flags_ = 0;              // regional indicators up to it
  bool pictograph_ = false;    // it extends a pictograph, or is one
  bool after_joiner_ = false;  // it joins a pictograph to the next
};

// Normal forms of the Unicode that the library's tables are of.
const icu::Normalizer2& NormalizerFor(NormalForm form) {
  const auto make = [](const char* name, UNormalization2Mode mode) {
    UErrorCode error = U_ZERO_ERROR;
    const auto* newest =
        icu::Normalizer2::getInstance(nullptr, name, mode, error);
    auto* assigned = new icu::UnicodeSet(u"[:age=9.0:]", error);
    // Only ICU's data or memory can be at fault.
    if (U_FAILURE(error)) std::abort();
    assigned->freeze();
    return new icu::FilteredNormalizer2(*newest, *assigned);
  };
  static const auto* const nfc = make("nfc", UNORM2_COMPOSE);
  static const auto* const nfd = make("nfc", UNORM2_DECOMPOSE);
  static const auto* const nfkc = make("nfkc", UNORM2_COMPOSE);
  static const auto* const nfkd = make("nfkc", UNORM2_DECOMPOSE);
  return form == NormalForm::kNfc    ? *nfc
         : form == NormalForm::kNfd  ? *nfd
         : form == NormalForm::kNfkc ? *nfkc
                                     : *nfkd;
}

void EraseAll(const CodePointSet& set, std::string* text) {
  if (IsAscii(*text)) return;
  std::u32string points = Decoded(*text);
  std::erase_if(points, [&](char32_t c) { return set.Contains(c); });
  *text = base::EncodeUtf8(points);
}

bool IsIdeograph(char32_t c) {
  static constexpr std::pair<char32_t, char32_t> kBlocks[] = {
      {0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF},
      {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF},
      {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
  return std::any_of(
      std::begin(kBlocks), std::end(kBlocks),
      [c](const auto& b) { return c >= b.first && c <= b.second; });
}

}  // namespace

void ReplaceByCharMap(const CharMap& map, std::string* text) {
  if (map.empty()) return;
  std::string replaced;
  replaced.reserve(text->size());
  const auto replace = [&](absl::string_view part) {
    const CharMap::Match match = map.Shortest(part);
    if (match.length > 0) absl::StrAppend(&replaced, match.replacement);
    return match.length > 0;
  };
  constexpr size_t kLong = 6;
  ClusterScanner clusters(*text);
  for (absl::string_view cluster; clusters.Next(&cluster);) {
    if (cluster.size() < kLong && replace(cluster)) continue;
    while (!cluster.empty()) {
      size_t length = 0;
      base::NextCodePoint(cluster, &length);
      const absl::string_view character = cluster.substr(0, length);
      cluster.remove_prefix(length);
      if (!replace(character)) absl::StrAppend(&replaced, character);
    }
  }
  *text = std::move(replaced);
}

void LowerEach(std::string* text) {
  if (IsAscii(*text)) {
    absl::AsciiStrToLower(text);
    return;
  }
  std::u32string lower;
  for (const char32_t c : Decoded(*text)) {
    if (c == U'\u0130') {
      lower += U"i\u0307";  // the only one that becomes two
    } else {
      lower.push_back(Lower(c));
    }
  }
  *text = base::EncodeUtf8(lower);
}

void StripSpace(bool left, bool right, std::string* text) {
  const std::u32string points = Decoded(*text);
  size_t begin = 0, end = points.size();
  while (left && begin < end && IsWhiteSpace(points[begin])) ++begin;
  while (right && end > begin && IsWhiteSpace(points[end - 1])) --end;
  if (begin == 0 && end == points.size()) return;
  *text =
      base::EncodeUtf8(std::u32string_view(points).substr(begin, end - begin));
}

void ReplaceAll(absl::string_view pattern, absl::string_view content,
                std::string* text) {
  absl::StrReplaceAll({{pattern, content}}, text);
}

void ReplaceRunsOfSpaces(absl::string_view content, std::string* text) {
  std::string replaced;
  replaced.reserve(text->size());
  for (size_t i = 0; i < text->size();) {
    size_t end = i;
    while (end < text->size() && (*text)[end] == ' ') ++end;
    if (end - i >= 2) {
      absl::StrAppend(&replaced, content);
      i = end;
    } else {
      replaced.push_back((*text)[i++]);
    }
  }
  *text = std::move(replaced);
}

void ToNormalForm(NormalForm form, std::string* text) {
  if (IsAscii(*text)) return;
  UErrorCode error = U_ZERO_ERROR;
  const icu::UnicodeString normal = NormalizerFor(form).normalize(
      icu::UnicodeString::fromUTF8(
          icu::StringPiece(text->data(), static_cast<int32_t>(text->size()))),
      error);
  if (U_FAILURE(error)) std::abort();  // out of memory
  text->clear();
  normal.toUTF8String(*text);
}

void StripAccents(std::string* text) {
  EraseAll(LibraryTables::Get().combining, text);
}

void CleanForBert(const BertCleaning& cleaning, std::string* text) {
  std::u32string points = Decoded(*text);
  if (cleaning.clean_text) {
    std::erase_if(points, [](char32_t c) {
      return LibraryTables::Get().control.Contains(c);
    });
    for (char32_t& c : points) {
      if (IsWhiteSpace(c)) c = U' ';
    }
  }
  if (cleaning.handle_chinese_chars &&
      std::any_of(points.begin(), points.end(), IsIdeograph)) {
    std::u32string apart;
    for (const char32_t c : points) {
      if (IsIdeograph(c)) {
        apart.insert(apart.end(), {U' ', c, U' '});
      } else {
        apart.push_back(c);
      }
    }
    points = std::move(apart);
  }
  *text = base::EncodeUtf8(points);
  if (cleaning.strip_accents) {
    ToNormalForm(NormalForm::kNfd, text);
    EraseAll(LibraryTables::Get().nonspacing, text);
  }
  if (cleaning.lowercase) LowerEach(text);
}

bool IsBertPunctuation(char32_t c) {
  return LibraryTables::Get().punctuation.Contains(c);
}

}  // namespace clip
