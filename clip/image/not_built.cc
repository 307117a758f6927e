// The formats whose libraries were not there when this was built. CheckFormat
// refuses their files before any of these is called.
#include "clip/image/codecs.h"

namespace clip {
namespace {

[[maybe_unused]] absl::Status NotBuilt() {
  return absl::InternalError("a format that was not built is read");
}

}  // namespace

#ifndef CLIP_HAS_TIFF
absl::StatusOr<Image> DecodeTiff(absl::string_view, DecodeRun*) {
  return NotBuilt();
}
absl::StatusOr<std::vector<uint8_t>> CropTiff(absl::string_view, CropShape,
                                              DecodeRun*) {
  return NotBuilt();
}
#endif

#ifndef CLIP_HAS_AVIF
absl::StatusOr<Image> DecodeAvif(absl::string_view, DecodeRun*) {
  return NotBuilt();
}
#endif

#ifndef CLIP_HAS_HEIC
absl::StatusOr<Image> DecodeHeic(absl::string_view, DecodeRun*) {
  return NotBuilt();
}
#endif

}  // namespace clip
