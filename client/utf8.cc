#include "client/utf8.h"

namespace zeroshot::client {

Utf8Character FirstCharacter(absl::string_view text) {
  const auto byte = [&](int i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {.code_point = lead, .length = 1, .valid = true};
  int length = 0;
  uint32_t code_point = 0;
  uint32_t smallest = 0;  // that needs this length
  if ((lead & 0xe0) == 0xc0) {
    length = 2, code_point = lead & 0x1f, smallest = 0x80;
  } else if ((lead & 0xf0) == 0xe0) {
    length = 3, code_point = lead & 0x0f, smallest = 0x800;
  } else if ((lead & 0xf8) == 0xf0) {
    length = 4, code_point = lead & 0x07, smallest = 0x10000;
  } else {
    return {};
  }
  if (text.size() < static_cast<size_t>(length)) return {};
  for (int i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code_point = code_point << 6 | (byte(i) & 0x3f);
  }
  const bool surrogate = code_point >= 0xd800 && code_point < 0xe000;
  if (code_point < smallest || surrogate || code_point > 0x10ffff) return {};
  return {.code_point = code_point, .length = length, .valid = true};
}

int64_t FirstInvalidByte(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const Utf8Character c = FirstCharacter(text.substr(i));
    if (!c.valid) return static_cast<int64_t>(i);
    i += c.length;
  }
  return -1;
}

}  // namespace zeroshot::client
