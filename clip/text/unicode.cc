#include "clip/text/unicode.h"

#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <cstdlib>

namespace clip {
namespace {

icu::UnicodeString ToIcu(std::u32string_view text) {
  return icu::UnicodeString::fromUTF32(
      reinterpret_cast<const UChar32*>(text.data()),
      static_cast<int32_t>(text.size()));
}

bool IsInUnicode14(char32_t c) {
  UVersionInfo age;
  u_charAge(static_cast<UChar32>(c), age);
  return age[0] >= 1 && age[0] <= 14;
}

// NFC of Unicode 14. Only ICU's data or memory can be at fault if that fails,
// never the text.
const icu::Normalizer2& Nfc() {
  static const auto* const filtered = [] {
    UErrorCode error = U_ZERO_ERROR;
    const auto* newest = icu::Normalizer2::getNFCInstance(error);
    auto* assigned = new icu::UnicodeSet(u"[:age=14.0:]", error);
    if (U_FAILURE(error)) std::abort();
    assigned->freeze();
    return new icu::FilteredNormalizer2(*newest, *assigned);
  }();
  return *filtered;
}

std::u32string FromIcu(const icu::UnicodeString& text) {
  std::u32string result;
  result.reserve(text.length());
  for (int32_t i = 0; i < text.length();) {
    const UChar32 c = text.char32At(i);
    result.push_back(static_cast<char32_t>(c));
    i += U16_LENGTH(c);
  }
  return result;
}

}  // namespace

std::u32string ToNfc(std::u32string_view text) {
  // Nothing below the first combining mark, U+0300, is ever changed.
  if (std::all_of(text.begin(), text.end(),
                  [](char32_t c) { return c < 0x300; })) {
    return std::u32string(text);
  }
  UErrorCode error = U_ZERO_ERROR;
  const icu::UnicodeString normal = Nfc().normalize(ToIcu(text), error);
  if (U_FAILURE(error)) std::abort();
  return FromIcu(normal);
}

std::u32string ToLower(std::u32string_view text) {
  // To Python an unassigned code point has no case and ends the context of a
  // final sigma, just as the end of the text does.
  std::u32string result;
  while (!text.empty()) {
    const size_t length =
        std::find_if_not(text.begin(), text.end(), IsInUnicode14) -
        text.begin();
    result +=
        FromIcu(ToIcu(text.substr(0, length)).toLower(icu::Locale::getRoot()));
    text.remove_prefix(length);
    if (!text.empty()) {
      result.push_back(text[0]);
      text.remove_prefix(1);
    }
  }
  return result;
}

bool IsPlain(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return IsPlainAscii(c) && c != '&';
  });
}

bool IsWhiteSpace(char32_t c) { return u_isUWhiteSpace(c); }

bool IsReSpace(char32_t c) {
  return IsWhiteSpace(c) || (c >= 0x1C && c <= 0x1F);
}

bool IsReWord(char32_t c) {
  return c == U'_' ||
         (IsInUnicode14(c) &&
          ((U_GET_GC_MASK(c) & U_GC_L_MASK) != 0 ||
           u_getIntPropertyValue(c, UCHAR_NUMERIC_TYPE) != U_NT_NONE));
}

bool IsReDigit(char32_t c) {
  return IsInUnicode14(c) && u_charType(c) == U_DECIMAL_DIGIT_NUMBER;
}

}  // namespace clip
