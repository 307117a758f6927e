// The reference's resize and crop of an image whose rows come one after the
// other, as a decoder makes them: the image itself is never held in memory.
// Internal to clip/image/.
#ifndef ZEROSHOT_CLIP_IMAGE_CROP_STREAM_H_
#define ZEROSHOT_CLIP_IMAGE_CROP_STREAM_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "clip/image.h"
#include "clip/image/bicubic.h"
#include "clip/kernels/resize_kernels.h"

namespace clip {

// Resized by the filter, or cut out as it is where the image has the right
// size. Takes only the rows and columns that the crop is made of, kRows at a
// time.
//
//   CropStream stream(ImageMode::kRGB, 3, CropGeometry(width, height, size));
//   for (each kRows rows from first_row() on, row_count() in all)
//     stream.Add(rows, count);
//   pixels = FinishedCrop(geometry, ImageMode::kRGB, {}, stream.Finish());
//
// Thread rule: use from one thread.
class CropStream {
 public:
  static constexpr int kRows = ResizeKernels::kRows;

  // REQUIRES: the geometry is cut_only(), or the mode neither k1 nor kP, which
  // the reference resizes by nearest neighbour.
  CropStream(ImageMode mode, int channels, const CropGeometry& geometry,
             const ResizeKernels& kernels = ResizeKernels::Best());

  // What a stream takes, within a few per cent.
  static int64_t BytesFor(int channels, const CropGeometry& geometry);

  // What the crop is made of.
  int first_row() const { return first_row_; }
  int row_count() const { return row_count_; }
  int first_column() const { return first_column_; }
  int column_count() const { return column_count_; }

  // The next rows, each [column_count(), channels] from first_column() on.
  // REQUIRES: 1 <= count <= kRows.
  void Add(const uint8_t* const* rows, int count);

  // The crop in the image's mode. REQUIRES: all rows were added.
  std::vector<uint8_t> Finish();

 private:
  // rows[kRows] [column_count(), channels] -> narrow_[kRows] [size, channels].
  void ResampleColumns(const uint8_t* const* rows);
  // The pass over rows: the next one in, and the next one out.
  void AddRow(const uint8_t* row);
  void EndRow();

  const ResizeKernels& kernels_;
  const int channels_;
  const bool has_alpha_;
  const bool rows_first_;
  int first_row_, row_count_, first_column_, column_count_;
  int64_t in_length_ = 0;    // of a row that comes in
  int64_t out_length_;       // of a row of the crop
  int64_t down_length_ = 0;  // of a row in the pass over rows
  std::optional<FilterWindows> across_, down_;  // none where it is cut only

  int next_input_ = 0;  // row of the pass over rows
  int started_ = 0, ended_ = 0;
  int slots_ = 0;  // output rows that are being summed at most

  std::vector<uint8_t> scratch_;            // what follows points into it
  uint8_t* tile_ = nullptr;                 // [in_length, kRows]
  uint8_t* narrow_tile_ = nullptr;          // [out_length, kRows]
  std::array<uint8_t*, kRows> multiplied_;  // by alpha; rows of in_length
  std::array<uint8_t*, kRows> summed_;      // if rows_first_; of in_length
  std::array<uint8_t*, kRows> narrow_;      // rows of out_length
  std::vector<int32_t> sums_;               // [slots, down_length]
  std::vector<uint8_t> out_;                // [size, size, channels]
};

// What the crop's pixels, in the image's mode, lack to a square is filled
// around them; then Pillow's convert("RGB"); then a PatchGrid before it, where
// that has a place. `palette` is kP's.
std::vector<uint8_t> FinishedCrop(
    const CropGeometry& geometry, ImageMode mode,
    absl::Span<const std::array<uint8_t, 3>> palette,
    std::vector<uint8_t> pixels);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_CROP_STREAM_H_
