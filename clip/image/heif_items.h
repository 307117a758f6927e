// The items of a HEIF file: what its images are made of. Internal to
// clip/image/.
#ifndef ZEROSHOT_CLIP_IMAGE_HEIF_ITEMS_H_
#define ZEROSHOT_CLIP_IMAGE_HEIF_ITEMS_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace clip {

// HEIF lets a few bytes ask for hours of work: a thousand layers of an image, a
// grid of grids of grids; and for much memory: HEVC's own header says how large
// frames are, whatever HEIF says.
//
// Returns the pixels of the largest frame, if the file's main image is a plain
// HEVC one or a grid of such, as are all that belong to it, and the parts of
// all grids are no more than 4,096 together. Else, and where frames say their
// size where HEIF has no place for it, InvalidArgument.
absl::StatusOr<int64_t> LargestHeifFrame(absl::string_view bytes);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_HEIF_ITEMS_H_
