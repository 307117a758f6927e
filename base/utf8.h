// UTF-8: reading and writing code points.
#ifndef ZEROSHOT_BASE_UTF8_H_
#define ZEROSHOT_BASE_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace base {

// The longest UTF-8 text these functions take: ICU counts in int32_t.
inline constexpr size_t kMaxTextBytes = size_t{64} << 20;

// Reads the code point at byte `*position` and moves on; -1 for a sequence
// that is not UTF-8 (overlong, surrogate, above 10FFFF, cut short).
//
// REQUIRES: *position < bytes.size() <= kMaxTextBytes.
int32_t NextCodePoint(absl::string_view bytes, size_t* position);

// InvalidArgument: not UTF-8; the message has the offset of the first bad
// sequence. REQUIRES: bytes.size() <= kMaxTextBytes.
absl::StatusOr<std::u32string> DecodeUtf8(absl::string_view bytes);

// REQUIRES: no surrogates among the code points.
std::string EncodeUtf8(std::u32string_view text);

}  // namespace base

#endif  // ZEROSHOT_BASE_UTF8_H_
