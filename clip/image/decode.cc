#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "clip/image.h"
#include "clip/image/codecs.h"

namespace clip {
namespace {

// The tests of Pillow's plugins, so that both take a file for the same format.
// IsJpeg, below, is the third.
bool IsPng(absl::string_view bytes) {
  return absl::StartsWith(bytes, "\x89PNG\r\n\x1a\n");
}

bool IsWebp(absl::string_view bytes) {
  return bytes.size() >= 16 && absl::StartsWith(bytes, "RIFF") &&
         absl::StartsWith(bytes.substr(8), "WEBPVP8");
}

absl::StatusOr<Image> DecodeAsStored(absl::string_view bytes,
                                     int64_t max_pixels) {
  if (IsJpeg(bytes)) return DecodeJpeg(bytes, max_pixels);
  if (IsPng(bytes)) return DecodePng(bytes, max_pixels);
  if (IsWebp(bytes)) return DecodeWebp(bytes, max_pixels);
  if (bytes.empty()) return absl::InvalidArgumentError("image is empty");
  return absl::InvalidArgumentError(
      absl::StrCat("image of ", bytes.size(),
                   " bytes is not a JPEG, PNG or WebP file: it starts with 0x",
                   absl::BytesToHexString(bytes.substr(0, 4))));
}

int ChannelsOf(ImageMode mode) {
  switch (mode) {
    case ImageMode::k1:
    case ImageMode::kP:
    case ImageMode::kL:
      return 1;
    case ImageMode::kLA:
      return 2;
    case ImageMode::kRGB:
      return 3;
    case ImageMode::kRGBA:
    case ImageMode::kCMYK:
      return 4;
  }
  return 0;  // Not reached: the switch names every mode.
}

}  // namespace

bool IsJpeg(absl::string_view bytes) {
  return absl::StartsWith(bytes, "\xff\xd8\xff");
}

absl::Status CheckImageSize(int64_t width, int64_t height, int64_t max_pixels) {
  if (width < 1 || height < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("image has no pixels: ", width, " x ", height));
  }
  if (width > max_pixels / height) {
    return absl::InvalidArgumentError(absl::StrCat(
        "image of ", width, " x ", height, " pixels is too large: at most ",
        max_pixels, " are allowed"));
  }
  return absl::OkStatus();
}

absl::Status DamagedImage(absl::string_view format, absl::string_view reason) {
  return absl::InvalidArgumentError(
      absl::StrCat("image is a damaged ", format, " file: ", reason));
}

Image NewImage(ImageMode mode, int width, int height) {
  Image image;
  image.mode = mode;
  image.width = width;
  image.height = height;
  image.channels = ChannelsOf(mode);
  image.pixels.resize(size_t{1} * width * height * image.channels);
  return image;
}

absl::StatusOr<Image> DecodeImage(absl::string_view bytes,
                                  const DecodeOptions& options) {
  absl::StatusOr<Image> image = DecodeAsStored(bytes, options.max_pixels);
  if (!image.ok() || !options.apply_exif_orientation) return image;
  return Upright(*std::move(image), ExifOrientation(bytes));
}

}  // namespace clip
