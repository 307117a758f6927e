#include "clip/image/crop_stream.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "clip/image/codecs.h"

namespace clip {
namespace {

// a * b / 255, rounded, as Pillow's MULDIV255.
uint8_t MultiplyUnit(uint32_t a, uint32_t b) {
  const uint32_t product = a * b + 128;
  return (product + (product >> 8)) >> 8;
}

// Output rows that are summed at the same time, at most.
int MostAtOnce(const FilterWindows& windows) {
  int most = 0;
  for (int i = 0, first = 0; i < windows.count(); ++i) {
    while (windows[first].begin + windows[first].size <= windows[i].begin) {
      ++first;
    }
    most = std::max(most, i - first + 1);
  }
  return most;
}

template <int kChannels>
void MultiplyRow(const uint8_t* __restrict in, int64_t length,
                 uint8_t* __restrict out) {
  for (int64_t i = 0; i < length; i += kChannels) {
    const uint8_t alpha = in[i + kChannels - 1];
    for (int c = 0; c < kChannels - 1; ++c) {
      out[i + c] = MultiplyUnit(in[i + c], alpha);
    }
    out[i + kChannels - 1] = alpha;
  }
}

// Undoes the multiplication by alpha: convert("RGBa" -> "RGBA").
void DivideByAlpha(int channels, std::vector<uint8_t>* pixels) {
  for (size_t i = 0; i < pixels->size(); i += channels) {
    uint8_t* const pixel = &(*pixels)[i];
    const int alpha = pixel[channels - 1];
    if (alpha == 0) continue;
    for (int c = 0; c < channels - 1; ++c) {
      pixel[c] = std::min(255 * pixel[c] / alpha, 255);
    }
  }
}

}  // namespace

int64_t CropStream::BytesFor(int channels, const CropGeometry& geometry) {
  const int64_t crop =
      int64_t{geometry.columns.count} * geometry.rows.count * channels;
  if (geometry.cut_only()) return crop;
  // Input samples below one window, and windows over one input sample.
  const auto window = [](const Axis& axis) {
    return std::min(4 * std::max(axis.scale(), 1.0) + 4, 1.0 * axis.in);
  };
  const double slots = std::min(4 / std::min(geometry.rows.scale(), 1.0) + 2,
                                1.0 * geometry.rows.count);
  const double in =
      std::min<double>(geometry.columns.in,
                       geometry.columns.count * geometry.columns.scale() +
                           window(geometry.columns)) *
      channels;
  const double out = 1.0 * geometry.columns.count * channels;
  const double weights = window(geometry.rows) * geometry.rows.count +
                         window(geometry.columns) * geometry.columns.count;
  return crop +
         static_cast<int64_t>(
             weights * sizeof(int32_t) + 3 * kRows * in + 2 * kRows * out +
             slots * (geometry.rows_first() ? in : out) * sizeof(int32_t));
}

CropStream::CropStream(ImageMode mode, int channels,
                       const CropGeometry& geometry,
                       const ResizeKernels& kernels)
    : kernels_(kernels),
      channels_(channels),
      has_alpha_(!geometry.cut_only() &&
                 (mode == ImageMode::kLA || mode == ImageMode::kRGBA)),
      rows_first_(geometry.rows_first()),
      out_length_(int64_t{geometry.columns.count} * channels) {
  out_.resize(out_length_ * geometry.rows.count);
  if (geometry.cut_only()) {
    first_row_ = static_cast<int>(geometry.rows.first);
    row_count_ = geometry.rows.count;
    first_column_ = static_cast<int>(geometry.columns.first);
    column_count_ = geometry.columns.count;
    return;
  }
  across_.emplace(geometry.columns);
  down_.emplace(geometry.rows);
  first_row_ = down_->first_input();
  row_count_ = down_->input_count();
  first_column_ = across_->first_input();
  column_count_ = across_->input_count();
  in_length_ = int64_t{column_count_} * channels;
  down_length_ = rows_first_ ? in_length_ : out_length_;
  slots_ = MostAtOnce(*down_);
  sums_.resize(slots_ * down_length_);
  const int in_lines = (has_alpha_ ? kRows : 0) + (rows_first_ ? kRows : 0);
  scratch_.resize((kRows + in_lines) * in_length_ + 2 * kRows * out_length_);
  uint8_t* next = scratch_.data();
  const auto take = [&](int64_t bytes) { return (next += bytes) - bytes; };
  tile_ = take(kRows * in_length_);
  narrow_tile_ = take(kRows * out_length_);
  for (uint8_t*& row : narrow_) row = take(out_length_);
  if (has_alpha_) {
    for (uint8_t*& row : multiplied_) row = take(in_length_);
  }
  if (rows_first_) {
    for (uint8_t*& row : summed_) row = take(in_length_);
  }
}

void CropStream::Add(const uint8_t* const* rows, int count) {
  if (!down_.has_value()) {
    for (int r = 0; r < count; ++r, ++ended_) {
      std::memcpy(&out_[ended_ * out_length_], rows[r], out_length_);
    }
    return;
  }
  if (has_alpha_) {
    for (int r = 0; r < count; ++r) {
      channels_ == 4 ? MultiplyRow<4>(rows[r], in_length_, multiplied_[r])
                     : MultiplyRow<2>(rows[r], in_length_, multiplied_[r]);
    }
    rows = multiplied_.data();
  }
  if (rows_first_) {
    for (int r = 0; r < count; ++r) AddRow(rows[r]);
    return;
  }
  std::array<const uint8_t*, kRows> all;
  // A tile is always full: what the rows beyond the last become is not used.
  for (int r = 0; r < kRows; ++r) all[r] = rows[std::min(r, count - 1)];
  ResampleColumns(all.data());
  for (int r = 0; r < count; ++r) AddRow(narrow_[r]);
}

void CropStream::ResampleColumns(const uint8_t* const* rows) {
  kernels_.rows_to_tile(rows, in_length_, tile_);
  kernels_.resample_columns(tile_, channels_, across_->windows(),
                            across_->count(), narrow_tile_);
  kernels_.tile_to_rows(narrow_tile_, out_length_, narrow_.data());
}

void CropStream::AddRow(const uint8_t* row) {
  const FilterWindows& down = *down_;
  while (started_ < down.count() && down[started_].begin <= next_input_) {
    ++started_;
  }
  for (int i = ended_; i < started_; ++i) {
    const int y = next_input_ - down[i].begin;
    kernels_.add_row(row, down_length_, down[i].weights[y], y == 0,
                     &sums_[i % slots_ * down_length_]);
  }
  ++next_input_;
  while (ended_ < started_ &&
         down[ended_].begin + down[ended_].size <= next_input_) {
    EndRow();
  }
}

void CropStream::EndRow() {
  const int32_t* sums = &sums_[ended_ % slots_ * down_length_];
  if (!rows_first_) {
    kernels_.round_row(sums, down_length_, &out_[ended_ * out_length_]);
    ++ended_;
    return;
  }
  kernels_.round_row(sums, down_length_, summed_[ended_ % kRows]);
  ++ended_;
  const int count = (ended_ - 1) % kRows + 1;
  if (count < kRows && ended_ < down_->count()) return;
  ResampleColumns(summed_.data());
  for (int r = 0; r < count; ++r) {
    std::memcpy(&out_[(ended_ - count + r) * out_length_], narrow_[r],
                out_length_);
  }
}

std::vector<uint8_t> CropStream::Finish() {
  if (has_alpha_) DivideByAlpha(channels_, &out_);
  return std::move(out_);
}

namespace {

// Pixels [rows.count, columns.count, channels] in the middle of a square.
std::vector<uint8_t> Filled(const CropGeometry& geometry, ImageMode mode,
                            std::vector<uint8_t> pixels) {
  const int side = geometry.shape.side, width = geometry.columns.count,
            height = geometry.rows.count;
  if (geometry.shape.resize != ResizeMode::kLongest) return pixels;
  const size_t channels = ChannelsOf(mode), row = width * channels;
  const uint8_t fill = geometry.shape.fill;
  std::vector<uint8_t> square(side * side * channels,
                              mode == ImageMode::k1 && fill > 0 ? 255 : fill);
  const size_t left = (side - width) / 2, top = (side - height) / 2;
  for (int y = 0; y < height; ++y) {
    std::copy_n(&pixels[y * row], row,
                &square[((top + y) * side + left) * channels]);
  }
  return square;
}

std::vector<uint8_t> ToRgb(ImageMode mode,
                           absl::Span<const std::array<uint8_t, 3>> palette,
                           std::vector<uint8_t> pixels) {
  if (mode == ImageMode::kRGB) return pixels;
  const int channels = ChannelsOf(mode);
  std::vector<uint8_t> rgb(pixels.size() / channels * 3);
  uint8_t* out = rgb.data();
  for (size_t i = 0; i < pixels.size(); i += channels, out += 3) {
    const uint8_t* const p = &pixels[i];
    switch (mode) {
      case ImageMode::kP:
        std::copy(palette[p[0]].begin(), palette[p[0]].end(), out);
        break;
      case ImageMode::kCMYK: {
        const int light = 255 - p[3];
        for (int c = 0; c < 3; ++c) {
          out[c] = std::max(light - MultiplyUnit(p[c], light), 0);
        }
        break;
      }
      case ImageMode::k1:
      case ImageMode::kL:
      case ImageMode::kLA:
        std::fill_n(out, 3, p[0]);
        break;
      case ImageMode::kRGB:
      case ImageMode::kRGBA:
        std::copy_n(p, 3, out);
        break;
    }
  }
  return rgb;
}

}  // namespace

std::vector<uint8_t> FinishedCrop(
    const CropGeometry& geometry, ImageMode mode,
    absl::Span<const std::array<uint8_t, 3>> palette,
    std::vector<uint8_t> pixels) {
  std::vector<uint8_t> rgb =
      ToRgb(mode, palette, Filled(geometry, mode, std::move(pixels)));
  if (geometry.shape.resize != ResizeMode::kPatches) return rgb;
  std::array<uint8_t, PatchGrid::kBytes> grid;
  for (int i = 0; i < 2; ++i) {
    const int count = (i == 0 ? geometry.rows : geometry.columns).count /
                      geometry.shape.patch;
    grid[2 * i] = count & 0xff;
    grid[2 * i + 1] = count >> 8;
  }
  rgb.insert(rgb.begin(), grid.begin(), grid.end());
  return rgb;
}

}  // namespace clip
