#include "base/json_reader.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/utf8.h"

namespace base {
namespace {

constexpr size_t kLongestCharacter = 4;
constexpr size_t kHexDigits = 4;
// What stands behind a backslash, and what that means.
constexpr absl::string_view kEscapes = "\"\\/bfnrt";
constexpr absl::string_view kMeanings = "\"\\/\b\f\n\r\t";

// The four digits of \uXXXX that `text` begins with, or -1.
int32_t HexNumber(absl::string_view text) {
  if (text.size() < kHexDigits) return -1;
  int32_t number = 0;
  for (size_t i = 0; i < kHexDigits; ++i) {
    const char c = text[i];
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return -1;
    number = number * 16 + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return number;
}

// The code point that `text` begins with: a character, or an escape, two of
// them for one beyond the basic plane. `size`: its bytes. -1: it is not well
// formed.
int32_t FirstCodePoint(absl::string_view text, size_t* size) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x20) return -1;
  if (first != '\\') {
    *size = 0;
    return NextCodePoint(text.substr(0, kLongestCharacter), size);
  }
  if (text.size() < 2) return -1;
  *size = 2;
  if (const size_t i = kEscapes.find(text[1]); i != kEscapes.npos) {
    return kMeanings[i];
  }
  if (text[1] != 'u') return -1;
  const int32_t high = HexNumber(text.substr(2));
  *size += kHexDigits;
  if (high < 0xD800 || high > 0xDFFF) return high;
  absl::string_view rest = text.substr(*size);
  if (high > 0xDBFF || !absl::ConsumePrefix(&rest, "\\u")) return -1;
  const int32_t low = HexNumber(rest);
  if (low < 0xDC00 || low > 0xDFFF) return -1;
  *size += 2 + kHexDigits;
  return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

constexpr absl::string_view kNoEnd = "a text has no end";

// Why `text`, in a string, begins with no code point.
absl::string_view CauseOf(absl::string_view text) {
  if (text[0] == '\n' || text[0] == '\r') return kNoEnd;
  if (text[0] == '\\') {
    const bool is_number =
        text.size() > 1 && text[1] == 'u' && HexNumber(text.substr(2)) >= 0;
    return is_number ? "\\u holds half a character"
                     : "\\ is followed by what JSON does not know";
  }
  return static_cast<unsigned char>(text[0]) < 0x20
             ? "a text holds a control character"
             : "a text is not UTF-8";
}

// One or more digits. False: something else stands there.
bool ConsumeDigits(absl::string_view* text) {
  const size_t end =
      std::min(text->find_first_not_of("0123456789"), text->size());
  text->remove_prefix(end);
  return end > 0;
}

}  // namespace

int64_t JsonReader::line() const {
  const absl::string_view before = text_.substr(0, text_.size() - rest_.size());
  return std::count(before.begin(), before.end(), '\n') + 1;
}

void JsonReader::SkipBlanks() {
  rest_.remove_prefix(
      std::min(rest_.find_first_not_of(" \t\n\r"), rest_.size()));
}

bool JsonReader::Take(char structure) {
  SkipBlanks();
  if (rest_.empty() || rest_[0] != structure) return false;
  rest_.remove_prefix(1);
  return true;
}

bool JsonReader::AtEnd() {
  SkipBlanks();
  return rest_.empty();
}

bool JsonReader::TakeString(absl::string_view* raw) {
  if (!Take('"')) return false;
  size_t at = 0;
  while (at < rest_.size() && rest_[at] != '"') {
    size_t size = 0;
    if (FirstCodePoint(rest_.substr(at), &size) < 0) {
      cause_ = CauseOf(rest_.substr(at));
      return false;
    }
    at += size;
  }
  if (at >= rest_.size()) {
    cause_ = kNoEnd;
    return false;
  }
  *raw = rest_.substr(0, at);
  rest_.remove_prefix(at + 1);
  return true;
}

bool JsonReader::TakeUnsigned(uint64_t* number) {
  SkipBlanks();
  absl::string_view rest = rest_;
  if (!ConsumeDigits(&rest)) return false;
  const absl::string_view digits = rest_.substr(0, rest_.size() - rest.size());
  if (digits.size() > 1 && digits[0] == '0') return false;
  if (!rest.empty() && absl::string_view(".eE").find(rest[0]) != rest.npos) {
    return false;
  }
  if (!absl::SimpleAtoi(digits, number)) return false;
  rest_ = rest;
  return true;
}

bool JsonReader::TakeScalar(absl::string_view* raw) {
  SkipBlanks();
  const absl::string_view before = rest_;
  if (!SkipScalar()) return false;
  *raw = before.substr(0, before.size() - rest_.size());
  return true;
}

bool JsonReader::SkipScalar() {
  SkipBlanks();
  for (const absl::string_view word : {"true", "false", "null"}) {
    if (absl::ConsumePrefix(&rest_, word)) return true;
  }
  absl::string_view text;
  if (!rest_.empty() && rest_[0] == '"') return TakeString(&text);
  absl::ConsumePrefix(&rest_, "-");
  if (!absl::ConsumePrefix(&rest_, "0") && !ConsumeDigits(&rest_)) return false;
  if (absl::ConsumePrefix(&rest_, ".") && !ConsumeDigits(&rest_)) return false;
  if (absl::ConsumePrefix(&rest_, "e") || absl::ConsumePrefix(&rest_, "E")) {
    if (!absl::ConsumePrefix(&rest_, "-")) absl::ConsumePrefix(&rest_, "+");
    return ConsumeDigits(&rest_);
  }
  return true;
}

std::string JsonUnescape(absl::string_view raw) {
  std::string text;
  while (!raw.empty()) {
    const size_t plain = std::min(raw.find('\\'), raw.size());
    text.append(raw.data(), plain);
    raw.remove_prefix(plain);
    if (raw.empty()) break;
    size_t size = 0;
    const int32_t code_point = FirstCodePoint(raw, &size);
    if (code_point < 0) break;  // no string of JsonReader
    const auto character = static_cast<char32_t>(code_point);
    text += EncodeUtf8(std::u32string_view(&character, 1));
    raw.remove_prefix(size);
  }
  return text;
}

void AppendJsonString(absl::string_view text, std::string* out) {
  out->push_back('"');
  while (!text.empty()) {
    const auto c = static_cast<unsigned char>(text[0]);
    size_t size = 1;
    if (c < 0x80) {
      // '/' needs none.
      const size_t escape = c == '/' ? kMeanings.npos : kMeanings.find(text[0]);
      if (escape != kMeanings.npos) {
        out->append({'\\', kEscapes[escape]});
      } else if (c < 0x20) {
        absl::StrAppend(out, "\\u", absl::Hex(c, absl::kZeroPad4));
      } else {
        out->push_back(text[0]);
      }
    } else {
      size = 0;
      if (NextCodePoint(text.substr(0, kLongestCharacter), &size) >= 0) {
        out->append(text.data(), size);
      } else {
        out->append("\xEF\xBF\xBD");
        size = std::max<size_t>(size, 1);
      }
    }
    text.remove_prefix(size);
  }
  out->push_back('"');
}

}  // namespace base
