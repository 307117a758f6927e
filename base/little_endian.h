// Little-endian numbers, as most file formats have them.
#ifndef ZEROSHOT_BASE_LITTLE_ENDIAN_H_
#define ZEROSHOT_BASE_LITTLE_ENDIAN_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace base {

// The number in all of `bytes`. REQUIRES: 8 at most.
inline uint64_t LittleEndian(absl::Span<const uint8_t> bytes) {
  uint64_t number = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    number |= uint64_t{bytes[i]} << (8 * i);
  }
  return number;
}

inline uint64_t LittleEndian(absl::string_view bytes) {
  return LittleEndian(absl::Span<const uint8_t>(
      reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
}

}  // namespace base

#endif  // ZEROSHOT_BASE_LITTLE_ENDIAN_H_
