#include "client/cli/text_file.h"

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/utf8.h"
#include "client/utf8.h"

namespace zeroshot::client {
namespace {

enum class Encoding { kUtf8, kUtf16Little, kUtf16Big, kUtf32, kUnknown };

// Texts hold no zero characters, so that zero bytes tell which half of a
// character comes first.
Encoding WithoutMark(absl::string_view bytes) {
  int64_t zeros[2] = {0, 0};  // at even and odd places
  for (size_t i = 0; i < bytes.size(); ++i) zeros[i % 2] += bytes[i] == '\0';
  if (zeros[0] == 0 && zeros[1] == 0) return Encoding::kUtf8;
  if (bytes.size() % 2 != 0 || (zeros[0] != 0 && zeros[1] != 0))
    return Encoding::kUnknown;
  return zeros[1] != 0 ? Encoding::kUtf16Little : Encoding::kUtf16Big;
}

Encoding EncodingOf(absl::string_view* bytes) {
  if (absl::ConsumePrefix(bytes, "\xef\xbb\xbf")) return Encoding::kUtf8;
  if (absl::StartsWith(*bytes, absl::string_view("\xff\xfe\0\0", 4)) ||
      absl::StartsWith(*bytes, absl::string_view("\0\0\xfe\xff", 4))) {
    return Encoding::kUtf32;
  }
  if (absl::ConsumePrefix(bytes, "\xff\xfe")) return Encoding::kUtf16Little;
  if (absl::ConsumePrefix(bytes, "\xfe\xff")) return Encoding::kUtf16Big;
  return WithoutMark(*bytes);
}

// Of the character behind `before`, counted from 1.
int64_t LineOf(std::string_view before) {
  int64_t line = 1;
  for (size_t i = 0; i < before.size(); ++i) {
    const bool is_crlf =
        before[i] == '\r' && i + 1 < before.size() && before[i + 1] == '\n';
    if ((before[i] == '\r' && !is_crlf) || before[i] == '\n') ++line;
  }
  return line;
}

absl::StatusOr<std::string> FromUtf16(absl::string_view bytes, bool big) {
  std::u32string text;
  const auto unit = [&](size_t at) {
    const auto byte = [&](size_t i) {
      return uint32_t{static_cast<uint8_t>(bytes[i])};
    };
    return big ? byte(at) << 8 | byte(at + 1) : byte(at + 1) << 8 | byte(at);
  };
  size_t at = 0;
  for (; at + 2 <= bytes.size(); at += 2) {
    uint32_t code = unit(at);
    if (code >= 0xd800 && code < 0xe000) {  // half a character
      const uint32_t second = at + 4 <= bytes.size() ? unit(at + 2) : 0;
      if (code >= 0xdc00 || second < 0xdc00 || second >= 0xe000) break;
      code = 0x10000 + ((code - 0xd800) << 10) + (second - 0xdc00);
      at += 2;
    }
    text += static_cast<char32_t>(code);
  }
  std::string utf8 = base::EncodeUtf8(text);
  if (at == bytes.size()) return utf8;
  return absl::InvalidArgumentError(absl::StrCat(
      "line ", LineOf(utf8),
      " holds half a character of UTF-16; save the file as UTF-8"));
}

absl::StatusOr<std::string> FromUtf8(absl::string_view text) {
  const int64_t at = FirstInvalidByte(text);
  if (at < 0) return std::string(text);
  const absl::string_view before = text.substr(0, at);
  const size_t begin = before.find_last_of("\r\n") + 1;  // npos + 1 is 0
  const absl::string_view line =
      text.substr(begin, text.find_first_of("\r\n", begin) - begin);
  return absl::InvalidArgumentError(
      absl::StrCat("line ", LineOf({before.data(), before.size()}), ", '",
                   line.substr(0, 40), "', is not UTF-8: byte ",
                   at - static_cast<int64_t>(begin) + 1, " of it is 0x",
                   absl::Hex(static_cast<uint8_t>(text[at]), absl::kZeroPad2),
                   "; save the file as UTF-8, or, if it is Latin-1: iconv -f "
                   "LATIN1 -t UTF-8"));
}

}  // namespace

absl::StatusOr<std::string> TextOfFile(absl::string_view bytes) {
  switch (EncodingOf(&bytes)) {
    case Encoding::kUtf8:
      return FromUtf8(bytes);
    case Encoding::kUtf16Little:
      return FromUtf16(bytes, /*big=*/false);
    case Encoding::kUtf16Big:
      return FromUtf16(bytes, /*big=*/true);
    case Encoding::kUtf32:
      return absl::InvalidArgumentError(
          "looks like UTF-32; save it as UTF-8, or: iconv -f UTF-32 -t UTF-8");
    case Encoding::kUnknown:
      break;
  }
  return absl::InvalidArgumentError(
      "holds zero bytes and is no UTF-16: not a text; save it as UTF-8");
}

}  // namespace zeroshot::client
