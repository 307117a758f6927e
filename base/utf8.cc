#include "base/utf8.h"

#include <unicode/utf8.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace base {

int32_t NextCodePoint(absl::string_view bytes, size_t* position) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  int32_t i = static_cast<int32_t>(*position);
  const int32_t length = static_cast<int32_t>(bytes.size());
  UChar32 c;
  U8_NEXT(data, i, length, c);
  *position = static_cast<size_t>(i);
  return c;
}

absl::StatusOr<std::u32string> DecodeUtf8(absl::string_view bytes) {
  std::u32string text;
  text.reserve(bytes.size());
  for (size_t position = 0; position < bytes.size();) {
    const size_t start = position;
    const int32_t c = NextCodePoint(bytes, &position);
    if (c < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("text is not UTF-8: bad sequence at byte ", start,
                       " of ", bytes.size()));
    }
    text.push_back(static_cast<char32_t>(c));
  }
  return text;
}

std::string EncodeUtf8(std::u32string_view text) {
  std::string bytes;
  bytes.reserve(text.size() + text.size() / 2);
  for (const char32_t c : text) {
    uint8_t buffer[U8_MAX_LENGTH];
    int32_t length = 0;
    U8_APPEND_UNSAFE(buffer, length, c);
    bytes.append(reinterpret_cast<const char*>(buffer), length);
  }
  return bytes;
}

}  // namespace base
