// Finding and applying EXIF's orientation. Only the tag itself is read (XMP's
// copy of it is not), and every length is checked: the bytes are the caller's.
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "clip/image/bytes.h"
#include "clip/image/codecs.h"
#include "clip/image/tiff_tags.h"

namespace clip {
namespace {

constexpr absl::string_view kExifPrefix("Exif\0\0", 6);

// The EXIF blocks of the three containers; empty if there is none.

// JPEG: an APP1 segment before the first scan.
absl::string_view FindInJpeg(absl::string_view bytes) {
  const ByteReader reader(bytes, /*big_endian=*/true);
  size_t at = 2;
  while (at + 4 <= bytes.size()) {
    const uint32_t marker = reader.U16(at);
    const uint32_t length = reader.U16(at + 2);  // Its own two bytes included.
    constexpr uint32_t kStartOfScan = 0xffda, kApp1 = 0xffe1;
    if (marker < 0xff00 || marker == kStartOfScan || length < 2) return "";
    if (marker == 0xffff) {  // A fill byte.
      ++at;
      continue;
    }
    const absl::string_view segment = bytes.substr(at + 4, length - 2);
    if (marker == kApp1 && absl::StartsWith(segment, kExifPrefix)) {
      return segment;
    }
    at += 2 + length;
  }
  return "";
}

// PNG: an eXIf chunk. WebP: an EXIF chunk, padded to an even length.
absl::string_view FindInChunks(absl::string_view bytes, bool png) {
  const ByteReader reader(bytes, /*big_endian=*/png);
  const absl::string_view wanted = png ? "eXIf" : "EXIF";
  size_t at = png ? 8 : 12;
  while (at + 8 <= bytes.size()) {
    const uint64_t length = reader.U32(png ? at : at + 4);
    if (bytes.substr(png ? at + 4 : at, 4) == wanted) {
      return bytes.substr(at + 8, length);
    }
    at += 8 + length + (png ? 4 : length % 2);
  }
  return "";
}

}  // namespace

int ExifOrientation(absl::string_view bytes) {
  const std::optional<ImageFormat> format = FormatOf(bytes);
  if (!format.has_value()) return 1;
  absl::string_view exif;
  switch (*format) {
    case ImageFormat::kJpeg:
      exif = FindInJpeg(bytes);
      break;
    case ImageFormat::kPng:
    case ImageFormat::kWebp:
      exif = FindInChunks(bytes, *format == ImageFormat::kPng);
      break;
    case ImageFormat::kTiff:
      exif = bytes;
      break;
    default:
      return 1;
  }
  exif = absl::StripPrefix(exif, kExifPrefix);
  // Some writers store it as LONG; Pillow reads either, and BYTE.
  constexpr uint32_t kOrientation = 0x0112;
  const uint64_t value = TiffTags(exif).Number(kOrientation, 1);
  return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
}

absl::StatusOr<Image> Upright(Image image, DecodeRun* run) {
  const int orientation = run->orientation();
  // Where the upright image's rows and columns lie in the stored one.
  const bool transposed = orientation >= 5;
  const bool from_right = orientation == 2 || orientation == 3 ||
                          orientation == 7 || orientation == 8;
  const bool from_bottom = orientation == 3 || orientation == 4 ||
                           orientation == 6 || orientation == 7;
  const ptrdiff_t channels = image.channels;
  const ptrdiff_t stride = channels * image.width;
  const ptrdiff_t right = from_right ? -channels : channels;
  const ptrdiff_t down = from_bottom ? -stride : stride;
  const uint8_t* const origin = image.pixels.data() +
                                (from_right ? stride - channels : 0) +
                                (from_bottom ? stride * (image.height - 1) : 0);
  const ptrdiff_t step_x = transposed ? down : right;
  const ptrdiff_t step_y = transposed ? right : down;

  Image upright = NewImage(image.mode, transposed ? image.height : image.width,
                           transposed ? image.width : image.height);
  uint8_t* out = upright.pixels.data();
  for (int y = 0; y < upright.height; ++y) {
    if (!run->Continue(upright.width)) return run->stopped();
    for (int x = 0; x < upright.width; ++x) {
      const uint8_t* pixel = origin + x * step_x + y * step_y;
      for (int c = 0; c < channels; ++c) *out++ = pixel[c];
    }
  }
  upright.palette = std::move(image.palette);
  return upright;
}

}  // namespace clip
