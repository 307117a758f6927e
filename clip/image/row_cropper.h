// CropForModel of an image whose rows are all decoded one after the other, into
// memory for a few of them. Internal to clip/image/.
#ifndef ZEROSHOT_CLIP_IMAGE_ROW_CROPPER_H_
#define ZEROSHOT_CLIP_IMAGE_ROW_CROPPER_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "clip/image.h"
#include "clip/image/bicubic.h"
#include "clip/image/crop_stream.h"

namespace clip {

//   RowCropper cropper(mode, width, height, shape);
//   for (each row of the image, top to bottom) {
//     ... write it to cropper.row() ...
//     cropper.RowDone();
//   }
//   pixels = cropper.Finish(palette);
//
// Thread rule: use from one thread.
class RowCropper {
 public:
  RowCropper(ImageMode mode, int width, int height, CropShape shape);

  // What a cropper takes, within a few per cent.
  static int64_t BytesFor(ImageMode mode, int width, int height,
                          CropShape shape);

  // Where the next row, [width, channels], is to be written. REQUIRES: fewer
  // than `height` were done.
  uint8_t* row() { return &block_[filled_ * stride_]; }
  void RowDone();

  // The crop as RGB [size, size, 3]; `palette` is kP's. REQUIRES: all rows were
  // done.
  std::vector<uint8_t> Finish(absl::Span<const std::array<uint8_t, 3>> palette);

  // Time in RowDone and Finish that went into cropping.
  absl::Duration took() const { return took_; }

 private:
  const ImageMode mode_;
  const CropGeometry geometry_;
  const int channels_;
  const size_t stride_;
  int y_ = 0;
  std::vector<uint8_t> block_;  // [kRows, width, channels]
  int filled_ = 0;              // rows of the block that are wanted
  absl::Duration took_;

  // Bicubic or cut out,
  std::optional<CropStream> stream_;
  // or by nearest neighbour: the samples, and the crop in the image's mode.
  std::vector<int> xs_, ys_;
  size_t next_sample_ = 0;  // of ys_
  std::vector<uint8_t> nearest_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_ROW_CROPPER_H_
