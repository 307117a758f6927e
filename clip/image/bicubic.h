// Where the reference's resize and crop lie: which samples each output sample
// is made of, and with which weights. Internal to clip/image/.
//
// Every double operation is one of Pillow's (Resample.c), in its order: the
// results are compared bit by bit.
#ifndef ZEROSHOT_CLIP_IMAGE_BICUBIC_H_
#define ZEROSHOT_CLIP_IMAGE_BICUBIC_H_

#include <cstdint>
#include <vector>

#include "clip/image.h"
#include "clip/kernels/resize_kernels.h"

namespace clip {

// One axis of the resize: `in` samples become `out`, of which the crop keeps
// `count` from `first` on.
struct Axis {
  int in = 0;
  int64_t out = 0;
  int64_t first = 0;
  int count = 0;
  bool bilinear = false;  // else bicubic

  // Of an image that was decoded at `eighths` of its size, the input samples
  // stand for that many of its own: the last may reach beyond its edge.
  int shrunk_from = 0;  // 0: not shrunk
  int eighths = 8;

  // Input samples per output sample. Pillow holds the source box in floats.
  double scale() const {
    if (shrunk_from > 0) return shrunk_from * (eighths / 8.0) / out;
    return static_cast<double>(static_cast<float>(in)) / out;
  }
};

// torchvision's Resize and CenterCrop of an image. What `columns` and `rows`
// keep is the crop, or of kLongest the middle of it.
struct CropGeometry {
  CropGeometry(int width, int height, CropShape shape);

  // From now on the image is one decoded at `eighths` of its size, which
  // made it width x height.
  void ShrinkTo(int width, int height, int eighths);

  // The image has that size already.
  bool cut_only() const {
    return columns.in == columns.out && rows.in == rows.out;
  }

  // The order of the passes shows in the last bit. Since version 13 Pillow
  // goes down first where that saves the most.
  bool rows_first() const {
    const int64_t fewer_rows = rows.in - rows.out;
    const int64_t fewer_columns = columns.in - columns.out;
    return fewer_rows > 0 && fewer_rows > 2 * fewer_columns;
  }

  CropShape shape;
  Axis columns, rows;
};

// For each kept output sample of an axis, the window of input samples it is a
// weighted sum of: Keys' bicubic kernel with a = -0.5 or the triangle of the
// bilinear one, stretched when shrinking, in fixed point. Windows count from
// first_input(), the first sample that any uses; their ends do not decrease.
class FilterWindows {
 public:
  explicit FilterWindows(const Axis& axis);

  FilterWindows(const FilterWindows&) = delete;
  FilterWindows& operator=(const FilterWindows&) = delete;

  int count() const { return static_cast<int>(windows_.size()); }
  int first_input() const { return first_input_; }
  int input_count() const { return input_count_; }
  const ResizeWindow* windows() const { return windows_.data(); }
  const ResizeWindow& operator[](int i) const { return windows_[i]; }

 private:
  int first_input_ = 0;
  int input_count_ = 0;
  std::vector<ResizeWindow> windows_;
  std::vector<int32_t> weights_;
};

// The input sample of each kept output sample by nearest neighbour, as
// Pillow's Geometry.c finds it: by adding the scale again and again, rounding
// errors included.
std::vector<int> NearestSamples(const Axis& axis);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_BICUBIC_H_
