#include "clip/image/tiff_tags.h"

#include <algorithm>

#include "absl/strings/match.h"

namespace clip {

TiffTags::TiffTags(absl::string_view bytes)
    : bytes_(bytes),
      big_endian_(absl::StartsWith(bytes, "MM")),
      number_(bytes, big_endian_) {
  if (!big_endian_ && !absl::StartsWith(bytes, "II")) return;
  const uint32_t version = number_.U16(2);
  big_tiff_ = version == 43;
  if (!big_tiff_ && version != 42) return;
  const uint64_t directory = big_tiff_ ? number_.U64(8) : number_.U32(4);
  const size_t head = big_tiff_ ? 8 : 2;
  if (directory > bytes.size() || bytes.size() - directory < head) return;
  first_ = directory + head;
  const uint64_t said =
      big_tiff_ ? number_.U64(directory) : number_.U16(directory);
  tags_ = std::min<uint64_t>(
      {said, kMostTags, (bytes.size() - first_) / (big_tiff_ ? 20 : 12)});
  complete_ = tags_ == said;
}

size_t TiffTags::SizeOf(uint32_t type) {
  switch (type) {
    case kShort:
      return 2;
    case kLong:
      return 4;
    case kLong8:
      return 8;
    default:
      return 1;
  }
}

TiffTags::Tag TiffTags::Find(uint32_t number) const {
  for (uint64_t i = 0; i < tags_; ++i) {
    const size_t at = first_ + i * (big_tiff_ ? 20 : 12);
    if (number_.U16(at) != number) continue;
    Tag tag;
    tag.type = number_.U16(at + 2);
    tag.count = big_tiff_ ? number_.U64(at + 4) : number_.U32(at + 4);
    tag.at = at + (big_tiff_ ? 12 : 8);
    const size_t inside = big_tiff_ ? 8 : 4;
    if (tag.count > inside / SizeOf(tag.type))
      tag.at = big_tiff_ ? number_.U64(tag.at) : number_.U32(tag.at);
    return tag;
  }
  return {};
}

uint64_t TiffTags::Number(const Tag& tag, uint64_t i,
                          uint64_t otherwise) const {
  const size_t size = SizeOf(tag.type);
  if (i >= tag.count || tag.at > bytes_.size() ||
      i >= (bytes_.size() - tag.at) / size) {
    return otherwise;
  }
  const size_t at = tag.at + i * size;
  switch (tag.type) {
    case kByte:
      return number_.U8(at);
    case kShort:
      return number_.U16(at);
    case kLong:
      return number_.U32(at);
    case kLong8:
      return number_.U64(at);
    default:
      return otherwise;
  }
}

absl::string_view TiffTags::Data(const Tag& tag) const {
  if (tag.type == 0 || tag.at > bytes_.size()) return "";
  const uint64_t fitting = (bytes_.size() - tag.at) / SizeOf(tag.type);
  if (tag.count > fitting) return "";
  return bytes_.substr(tag.at, tag.count * SizeOf(tag.type));
}

}  // namespace clip
