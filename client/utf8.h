// Reading UTF-8 one character at a time.
#ifndef ZEROSHOT_CLIENT_UTF8_H_
#define ZEROSHOT_CLIENT_UTF8_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace zeroshot::client {

inline constexpr char kReplacementCharacter[] = "\xef\xbf\xbd";  // U+FFFD

struct Utf8Character {
  uint32_t code_point = 0xfffd;
  int length = 1;  // bytes
  bool valid = false;
};

// The first character of `text`; a byte that begins none (stray, overlong,
// surrogate, beyond U+10FFFF, cut off) is an invalid one of length 1.
// REQUIRES: text is not empty.
Utf8Character FirstCharacter(absl::string_view text);

// Where the first byte of `text` is that is no part of UTF-8; -1: all is.
int64_t FirstInvalidByte(absl::string_view text);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_UTF8_H_
