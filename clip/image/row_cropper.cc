#include "clip/image/row_cropper.h"

#include <algorithm>
#include <utility>

#include "base/monotonic.h"
#include "clip/image/codecs.h"

namespace clip {
namespace {

constexpr int kRows = CropStream::kRows;

// The reference resizes these by nearest neighbour.
bool IsNearest(ImageMode mode, const CropGeometry& geometry) {
  return !geometry.cut_only() &&
         (mode == ImageMode::k1 || mode == ImageMode::kP);
}

}  // namespace

RowCropper::RowCropper(ImageMode mode, int width, int height, CropShape shape)
    : mode_(mode),
      geometry_(width, height, shape),
      channels_(ChannelsOf(mode)),
      stride_(size_t{1} * width * channels_) {
  if (IsNearest(mode, geometry_)) {
    block_.resize(stride_);
    xs_ = NearestSamples(geometry_.columns);
    ys_ = NearestSamples(geometry_.rows);
    nearest_.reserve(xs_.size() * ys_.size());
  } else {
    block_.resize(stride_ * kRows);
    stream_.emplace(mode, channels_, geometry_);
  }
}

int64_t RowCropper::BytesFor(ImageMode mode, int width, int height,
                             CropShape shape) {
  const CropGeometry geometry(width, height, shape);
  const int64_t row = int64_t{width} * ChannelsOf(mode);
  if (IsNearest(mode, geometry))
    return row + int64_t{4} * shape.side * shape.side;
  return row * kRows + CropStream::BytesFor(ChannelsOf(mode), geometry);
}

void RowCropper::RowDone() {
  const int y = y_++;
  if (!stream_.has_value()) {
    for (; next_sample_ < ys_.size() && ys_[next_sample_] == y;
         ++next_sample_) {
      for (const int x : xs_) nearest_.push_back(block_[x]);
    }
    return;
  }
  const int end = stream_->first_row() + stream_->row_count();
  if (y < stream_->first_row() || y >= end) return;
  if (++filled_ < kRows && y + 1 < end) return;
  const absl::Time start = base::MonotonicNow();
  const uint8_t* rows[kRows];
  for (int r = 0; r < filled_; ++r) {
    rows[r] = &block_[r * stride_ + stream_->first_column() * channels_];
  }
  stream_->Add(rows, filled_);
  filled_ = 0;
  took_ += base::MonotonicNow() - start;
}

std::vector<uint8_t> RowCropper::Finish(
    absl::Span<const std::array<uint8_t, 3>> palette) {
  const absl::Time start = base::MonotonicNow();
  std::vector<uint8_t> rgb = FinishedCrop(
      geometry_, mode_, palette,
      stream_.has_value() ? stream_->Finish() : std::move(nearest_));
  took_ += base::MonotonicNow() - start;
  return rgb;
}

}  // namespace clip
