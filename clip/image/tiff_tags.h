// The first directory of a TIFF file, or of an EXIF block, which is one.
// Internal to clip/image/.
#ifndef ZEROSHOT_CLIP_IMAGE_TIFF_TAGS_H_
#define ZEROSHOT_CLIP_IMAGE_TIFF_TAGS_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "clip/image/bytes.h"

namespace clip {

// Borrows the bytes, which anyone may have sent.
class TiffTags {
 public:
  enum Type : uint32_t { kByte = 1, kShort = 3, kLong = 4, kLong8 = 16 };

  struct Tag {
    uint32_t type = 0;   // 0: the directory does not have it
    uint64_t count = 0;  // of values; they may lie behind the file's end
    size_t at = 0;       // where they lie
  };

  // Both byte orders, and BigTIFF. A directory has at most kMostTags.
  explicit TiffTags(absl::string_view bytes);

  // Whether there is a header and a directory at all.
  explicit operator bool() const { return tags_ > 0; }
  // Whether the file has all of its tags.
  bool complete() const { return complete_; }
  bool big_endian() const { return big_endian_; }

  // The first of that number.
  Tag Find(uint32_t number) const;

  // Value i of a tag of unsigned whole numbers; `otherwise` if it is of another
  // type or not in the file.
  uint64_t Number(const Tag& tag, uint64_t i, uint64_t otherwise = 0) const;
  uint64_t Number(uint32_t number, uint64_t otherwise) const {
    return Number(Find(number), 0, otherwise);
  }

  // The bytes of a tag's values; empty if they are not all in the file.
  absl::string_view Data(const Tag& tag) const;

 private:
  static constexpr uint64_t kMostTags = 65'535;

  // Of a value; 1 for the types that are none of Type.
  static size_t SizeOf(uint32_t type);

  const absl::string_view bytes_;
  const bool big_endian_;
  const ByteReader number_;
  bool big_tiff_ = false;
  size_t first_ = 0;  // where its first tag lies
  uint64_t tags_ = 0;
  bool complete_ = false;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_TIFF_TAGS_H_
