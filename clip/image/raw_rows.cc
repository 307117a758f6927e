#include "clip/image/raw_rows.h"

#include <utility>

#include "clip/image/row_cropper.h"

namespace clip {

absl::StatusOr<Image> DecodeRaw(RawRows rows, DecodeRun* run) {
  absl::Status begun = run->Begin(
      rows.width, rows.height,
      run->ImageBytes(rows.width, rows.height, ChannelsOf(rows.mode)));
  if (!begun.ok()) return begun;
  Image image = NewImage(rows.mode, rows.width, rows.height);
  const size_t stride = size_t{1} * rows.width * image.channels;
  for (int y = 0; y < rows.height; ++y) {
    if (!run->Continue(rows.width)) return run->stopped();
    rows.read(y, &image.pixels[y * stride]);
  }
  image.palette = std::move(rows.palette);
  return image;
}

absl::StatusOr<std::vector<uint8_t>> CropRaw(const RawRows& rows,
                                             CropShape shape, DecodeRun* run) {
  absl::Status begun = run->Begin(
      rows.width, rows.height,
      RowCropper::BytesFor(rows.mode, rows.width, rows.height, shape));
  if (!begun.ok()) return begun;
  RowCropper cropper(rows.mode, rows.width, rows.height, shape);
  for (int y = 0; y < rows.height; ++y) {
    if (!run->Continue(rows.width)) return run->stopped();
    rows.read(y, cropper.row());
    cropper.RowDone();
  }
  std::vector<uint8_t> crop = cropper.Finish(rows.palette);
  run->timing.crop += cropper.took();
  return crop;
}

}  // namespace clip
