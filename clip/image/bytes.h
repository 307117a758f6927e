// Numbers in the bytes of a file that anyone may have sent.
#ifndef ZEROSHOT_CLIP_IMAGE_BYTES_H_
#define ZEROSHOT_CLIP_IMAGE_BYTES_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace clip {

// Unsigned integers at an offset of a file; 0 where it ends before. Borrows the
// bytes.
class ByteReader {
 public:
  ByteReader(absl::string_view bytes, bool big_endian)
      : bytes_(bytes), big_endian_(big_endian) {}

  uint32_t U8(size_t at) const { return Unsigned(at, 1); }
  uint32_t U16(size_t at) const { return Unsigned(at, 2); }
  uint32_t U32(size_t at) const { return Unsigned(at, 4); }
  uint64_t U64(size_t at) const {
    const uint64_t first = U32(at), second = U32(at + 4);
    return big_endian_ ? first << 32 | second : second << 32 | first;
  }

 private:
  uint32_t Unsigned(size_t at, size_t size) const {
    if (at > bytes_.size() || size > bytes_.size() - at) return 0;
    uint32_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      const size_t byte = big_endian_ ? at + i : at + size - 1 - i;
      value = value << 8 | static_cast<uint8_t>(bytes_[byte]);
    }
    return value;
  }

  absl::string_view bytes_;
  bool big_endian_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_BYTES_H_
