// The steps behind DecodeImage, one file each. Internal to clip/image/.
//
// The C codecs report errors by longjmp. Rule of these files: a function that
// calls setjmp holds no object with a destructor; memory is owned by an object
// of its caller, which therefore is freed on every path.
#ifndef ZEROSHOT_CLIP_IMAGE_CODECS_H_
#define ZEROSHOT_CLIP_IMAGE_CODECS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "clip/image.h"

namespace clip {

// InvalidArgument if width x height is empty or over max_pixels. Each codec
// asks this between reading the header and taking memory for pixels.
absl::Status CheckImageSize(int64_t width, int64_t height, int64_t max_pixels);

// InvalidArgument saying that the file of that format is damaged, and how.
absl::Status DamagedImage(absl::string_view format, absl::string_view reason);

// An image of that mode and size with its pixels allocated.
Image NewImage(ImageMode mode, int width, int height);

// Whether Pillow would take the file for a JPEG.
bool IsJpeg(absl::string_view bytes);

absl::StatusOr<Image> DecodeJpeg(absl::string_view bytes, int64_t max_pixels);
absl::StatusOr<Image> DecodePng(absl::string_view bytes, int64_t max_pixels);
absl::StatusOr<Image> DecodeWebp(absl::string_view bytes, int64_t max_pixels);

// CropForModel of DecodeJpeg's image, cropped row by row as it is decoded. Of
// the options max_pixels and fast count.
absl::StatusOr<std::vector<uint8_t>> CropJpeg(absl::string_view bytes, int size,
                                              const DecodeOptions& options,
                                              CropTiming* timing);

// Orientation (1 to 8) of the EXIF block of a JPEG, PNG or WebP file; 1,
// upright, if there is none or it makes no sense.
int ExifOrientation(absl::string_view bytes);

// The image turned and mirrored upright. REQUIRES: 1 <= orientation <= 8.
Image Upright(Image image, int orientation);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_CODECS_H_
