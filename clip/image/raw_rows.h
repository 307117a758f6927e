// Formats that hold their pixels as they are, so that any row can be made by
// itself. Internal to clip/image/.
#ifndef ZEROSHOT_CLIP_IMAGE_RAW_ROWS_H_
#define ZEROSHOT_CLIP_IMAGE_RAW_ROWS_H_

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "clip/image.h"
#include "clip/image/codecs.h"

namespace clip {

// An image of which row y can be written to `row`, [width, channels].
// Thread rule: use from one thread.
struct RawRows {
  ImageMode mode = ImageMode::kRGB;
  int width = 0;
  int height = 0;
  std::vector<std::array<uint8_t, 3>> palette;  // kP only: RGB of all 256
  std::function<void(int y, uint8_t* row)> read;
};

// The whole image, and its crop without holding it. Both begin the run.
absl::StatusOr<Image> DecodeRaw(RawRows rows, DecodeRun* run);
absl::StatusOr<std::vector<uint8_t>> CropRaw(const RawRows& rows,
                                             CropShape shape, DecodeRun* run);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_RAW_ROWS_H_
