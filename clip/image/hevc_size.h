// How large the frames are that HEVC data asks for. Internal to clip/image/.
// The format is ITU-T H.265, section 7.3.
#ifndef ZEROSHOT_CLIP_IMAGE_HEVC_SIZE_H_
#define ZEROSHOT_CLIP_IMAGE_HEVC_SIZE_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace clip {

// The kind of a unit ("NAL unit") by its first byte.
inline int HevcUnitType(absl::string_view unit) {
  return unit.empty() ? -1 : static_cast<uint8_t>(unit[0]) >> 1 & 0x3f;
}

constexpr int kHevcSequence = 33;  // a sequence parameter set: has the size

// Pixels of the frames of a sequence parameter set; none if it is damaged.
std::optional<int64_t> HevcPixels(absl::string_view unit);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_HEVC_SIZE_H_
