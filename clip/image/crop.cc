// CropForModel and DecodeAndCrop: Pillow's resizing, to the last bit. Bicubic
// is crop_stream.h's, over the rows of an image or of a file as they come.
#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/in_background.h"
#include "base/monotonic.h"
#include "clip/image.h"
#include "clip/image/bicubic.h"
#include "clip/image/codecs.h"
#include "clip/image/crop_stream.h"

namespace clip {
namespace {

// The crop of an image of one channel, [rows.count, columns.count].
std::vector<uint8_t> ResizeNearest(const Image& image,
                                   const CropGeometry& geometry) {
  const std::vector<int> xs = NearestSamples(geometry.columns);
  std::vector<uint8_t> out;
  out.reserve(size_t{1} * geometry.rows.count * geometry.columns.count);
  for (const int y : NearestSamples(geometry.rows)) {
    const uint8_t* row = &image.pixels[size_t{1} * y * image.width];
    for (const int x : xs) out.push_back(row[x]);
  }
  return out;
}

}  // namespace

absl::StatusOr<std::vector<uint8_t>> CropImage(const Image& image,
                                               CropShape shape,
                                               DecodeRun* run) {
  const CropGeometry geometry(image.width, image.height, shape);
  if (!geometry.cut_only() &&
      (image.mode == ImageMode::k1 || image.mode == ImageMode::kP)) {
    return FinishedCrop(geometry, image.mode, image.palette,
                        ResizeNearest(image, geometry));
  }
  CropStream stream(image.mode, image.channels, geometry);
  const size_t stride = size_t{1} * image.width * image.channels;
  const uint8_t* next = &image.pixels[stream.first_row() * stride +
                                      stream.first_column() * image.channels];
  for (int left = stream.row_count(); left > 0;) {
    const uint8_t* rows[CropStream::kRows];
    const int count = std::min(left, CropStream::kRows);
    if (!run->Continue(int64_t{count} * stream.column_count())) {
      return run->stopped();
    }
    for (int r = 0; r < count; ++r, next += stride) rows[r] = next;
    stream.Add(rows, count);
    left -= count;
  }
  return FinishedCrop(geometry, image.mode, image.palette, stream.Finish());
}

PatchGrid GridOf(absl::Span<const uint8_t> crop) {
  return {crop[0] | crop[1] << 8, crop[2] | crop[3] << 8};
}

absl::Status CheckCrop(CropShape shape, absl::Span<const uint8_t> crop) {
  const size_t side = shape.side;
  if (shape.resize != ResizeMode::kPatches) {
    if (crop.size() == side * side * 3) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("has ", crop.size(), " bytes, expected ", side, " x ",
                     side, " x 3 = ", side * side * 3));
  }
  if (crop.size() < PatchGrid::kBytes)
    return absl::InvalidArgumentError("has no grid of patches");
  const PatchGrid grid = GridOf(crop);
  const int64_t patches = int64_t{grid.rows} * grid.columns,
                expected = static_cast<int64_t>(PatchGrid::kBytes) +
                           patches * shape.patch * shape.patch * 3;
  if (patches < 1 || patches > shape.most_patches) {
    return absl::InvalidArgumentError(
        absl::StrCat("has ", grid.rows, " x ", grid.columns, " patches; 1 to ",
                     shape.most_patches, " are allowed"));
  }
  if (static_cast<int64_t>(crop.size()) == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("has ", crop.size(), " bytes, expected for ", grid.rows,
                   " x ", grid.columns, " patches ", expected));
}

std::vector<uint8_t> BlackCrop(CropShape shape) {
  Image image;
  image.width = image.height = 1;
  image.pixels.assign(3, 0);
  return CropForModel(image, shape);
}

std::vector<uint8_t> CropForModel(const Image& image, CropShape shape) {
  const DecodeOptions options;
  const base::Caller forever;
  DecodeRun run({}, options, forever);
  return *CropImage(image, shape, &run);
}

namespace {

absl::StatusOr<std::vector<uint8_t>> DecodeAndCrop(absl::string_view bytes,
                                                   CropShape shape,
                                                   DecodeRun* run) {
  const absl::StatusOr<ImageFormat> format = CheckFormat(bytes, *run);
  if (!format.ok()) return format.status();
  if (run->orientation() == 1) {
    switch (*format) {
      case ImageFormat::kJpeg:
        return CropJpeg(bytes, shape, run);
      case ImageFormat::kPng:
        return CropPng(bytes, shape, run);
      case ImageFormat::kWebp:
        return CropWebp(bytes, shape, run);
      case ImageFormat::kBmp:
        return CropBmp(bytes, shape, run);
      case ImageFormat::kPnm:
        return CropPnm(bytes, shape, run);
      case ImageFormat::kTiff:
        return CropTiff(bytes, shape, run);
      case ImageFormat::kGif:
      case ImageFormat::kAvif:
      case ImageFormat::kHeic:
        break;
    }
  }
  const absl::StatusOr<Image> image = DecodeUpright(bytes, run);
  if (!image.ok()) return image.status();
  const absl::Time decoded = base::MonotonicNow();
  absl::StatusOr<std::vector<uint8_t>> made = CropImage(*image, shape, run);
  run->timing.crop += base::MonotonicNow() - decoded;
  return made;
}

}  // namespace

absl::StatusOr<std::vector<uint8_t>> DecodeAndCrop(absl::string_view bytes,
                                                   CropShape shape,
                                                   const DecodeOptions& options,
                                                   CropTiming* timing,
                                                   const base::Caller& caller) {
  const absl::Time start = base::MonotonicNow();
  DecodeRun here(bytes, options, caller);
  if (options.large_in_background)
    here.LeaveLargerThan(DecodeOptions::kMostPixelsInPlace);
  absl::StatusOr<std::vector<uint8_t>> made =
      DecodeAndCrop(bytes, shape, &here);
  CropTiming spent = here.timing;
  if (here.left()) {
    DecodeRun large(bytes, options, caller);
    large.GoOnFrom(&here);
    made =
        base::InBackground([&] { return DecodeAndCrop(bytes, shape, &large); });
    spent = large.timing;
  }
  if (timing == nullptr) return made;
  timing->wait += spent.wait;
  timing->crop += spent.crop;
  timing->decode += base::MonotonicNow() - start - spent.wait - spent.crop;
  return made;
}

}  // namespace clip
