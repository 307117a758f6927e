// Pillow's resizing, to the last bit: the antialiased bicubic of its Resample.c
// (Keys' kernel with a = -0.5, stretched when shrinking; weights and sums in
// fixed point; 8 bits between the two passes) and the nearest neighbour of its
// Geometry.c. Only what the crop keeps is computed.
//
// Every double operation below is one of Pillow's, in its order: the results
// are compared bit by bit, so this file is compiled without contraction of
// a * b + c (see CMakeLists.txt).
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "clip/image.h"

namespace clip {
namespace {

// Weights are integers in units of 2^-22: 32 bits less 8 of the samples and 2
// for sums that overshoot.
constexpr int kWeightBits = 32 - 8 - 2;

// One axis of the resize: `in` samples become `out`, of which the crop keeps
// `count` from `first` on.
struct Axis {
  int in;
  int64_t out;
  int64_t first;
  int count;

  // Input samples per output sample. Pillow holds the source box in floats.
  double scale() const {
    return static_cast<double>(static_cast<float>(in)) / out;
  }
};

Axis MakeAxis(int in, int64_t out, int size) {
  // Python's round((out - size) / 2): halves go to the even neighbour.
  const int64_t excess = out - size;
  const int64_t half = excess / 2;
  return {in, out, half + (excess % 2 != 0 && half % 2 != 0 ? 1 : 0), size};
}

double BicubicKernel(double x) {
  x = std::abs(x);
  if (x < 1.0) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * -0.5;
  return 0.0;
}

int32_t ToFixedPoint(double weight) {
  const double scaled = weight * (1 << kWeightBits);
  return static_cast<int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
}

uint8_t FromFixedPoint(int32_t sum) {
  return std::clamp(sum >> kWeightBits, 0, 255);
}

// For each kept output sample, the window of input samples it is a weighted
// sum of. Windows count from first_input(), the first sample that any uses.
class BicubicWindows {
 public:
  explicit BicubicWindows(const Axis& axis) {
    const double scale = axis.scale();
    const double stretch = std::max(scale, 1.0);
    const double support = 2.0 * stretch;
    const double inverse_stretch = 1.0 / stretch;
    windows_.reserve(axis.count);
    std::vector<double> weights;
    for (int i = 0; i < axis.count; ++i) {
      const double center = (axis.first + i + 0.5) * scale;
      const int begin = std::max(static_cast<int>(center - support + 0.5), 0);
      const int end =
          std::min(static_cast<int>(center + support + 0.5), axis.in);
      weights.clear();
      double sum = 0.0;
      for (int x = begin; x < end; ++x) {
        weights.push_back(BicubicKernel((x - center + 0.5) * inverse_stretch));
        sum += weights.back();
      }
      if (i == 0) first_input_ = begin;
      input_count_ = end - first_input_;
      windows_.push_back({begin - first_input_, end - begin, weights_.size()});
      for (const double weight : weights) {
        weights_.push_back(ToFixedPoint(sum != 0.0 ? weight / sum : weight));
      }
    }
  }

  int count() const { return windows_.size(); }
  int first_input() const { return first_input_; }
  int input_count() const { return input_count_; }

  int begin(int i) const { return windows_[i].begin; }
  int size(int i) const { return windows_[i].size; }
  const int32_t* weights(int i) const {
    return &weights_[windows_[i].weights_begin];
  }

 private:
  struct Window {
    int begin;
    int size;
    size_t weights_begin;
  };

  int first_input_ = 0;
  int input_count_ = 0;
  std::vector<Window> windows_;
  std::vector<int32_t> weights_;
};

// a * b / 255, rounded, as Pillow's MULDIV255.
uint8_t MultiplyUnit(uint32_t a, uint32_t b) {
  const uint32_t product = a * b + 128;
  return (product + (product >> 8)) >> 8;
}

// The rows of an image within a span of columns, colours multiplied by alpha
// where the mode has one.
class RowSource {
 public:
  RowSource(const Image& image, int first_column, int columns)
      : image_(image), first_column_(first_column) {
    has_alpha_ = image.mode == ImageMode::kLA || image.mode == ImageMode::kRGBA;
    if (has_alpha_) scratch_.resize(size_t{1} * columns * image.channels);
  }

  // Row y from the first column on; valid until the next call.
  const uint8_t* Row(int y) {
    const int channels = image_.channels;
    const uint8_t* row =
        &image_
             .pixels[(size_t{1} * y * image_.width + first_column_) * channels];
    if (!has_alpha_) return row;
    for (size_t i = 0; i < scratch_.size(); i += channels) {
      const uint8_t alpha = row[i + channels - 1];
      for (int c = 0; c < channels - 1; ++c) {
        scratch_[i + c] = MultiplyUnit(row[i + c], alpha);
      }
      scratch_[i + channels - 1] = alpha;
    }
    return scratch_.data();
  }

 private:
  const Image& image_;
  const int first_column_;
  bool has_alpha_;
  std::vector<uint8_t> scratch_;
};

// One row: in [columns, kChannels] -> out [windows.count(), kChannels].
template <int kChannels>
void ResampleColumns(const uint8_t* in, const BicubicWindows& windows,
                     uint8_t* out) {
  for (int i = 0; i < windows.count(); ++i) {
    const uint8_t* samples = in + size_t{1} * windows.begin(i) * kChannels;
    const int32_t* weights = windows.weights(i);
    const int size = windows.size(i);
    int32_t sums[kChannels];
    for (int c = 0; c < kChannels; ++c) sums[c] = 1 << (kWeightBits - 1);
    for (int x = 0; x < size; ++x) {
      for (int c = 0; c < kChannels; ++c) {
        sums[c] += samples[x * kChannels + c] * weights[x];
      }
    }
    for (int c = 0; c < kChannels; ++c) *out++ = FromFixedPoint(sums[c]);
  }
}

void ResampleColumns(const uint8_t* in, int channels,
                     const BicubicWindows& windows, uint8_t* out) {
  switch (channels) {
    case 1:
      return ResampleColumns<1>(in, windows, out);
    case 2:
      return ResampleColumns<2>(in, windows, out);
    case 3:
      return ResampleColumns<3>(in, windows, out);
    case 4:
      return ResampleColumns<4>(in, windows, out);
  }
}

// Output row i of the vertical pass; row_at(y) is input row y of its window's
// count. `sums` is scratch space of the row's length.
template <typename RowAt>
void ResampleRows(const BicubicWindows& windows, int i, const RowAt& row_at,
                  std::vector<int32_t>* sums, uint8_t* out) {
  const size_t length = sums->size();
  int32_t* const sum = sums->data();
  std::fill_n(sum, length, 1 << (kWeightBits - 1));
  for (int y = 0; y < windows.size(i); ++y) {
    const uint8_t* const row = row_at(windows.begin(i) + y);
    const int32_t weight = windows.weights(i)[y];
    for (size_t x = 0; x < length; ++x) sum[x] += row[x] * weight;
  }
  for (size_t x = 0; x < length; ++x) out[x] = FromFixedPoint(sum[x]);
}

// The crop in the image's mode, [rows.count, columns.count, channels], colours
// multiplied by alpha where the mode has one.
std::vector<uint8_t> ResizeBicubic(const Image& image, const Axis& columns,
                                   const Axis& rows) {
  const BicubicWindows across(columns);
  const BicubicWindows down(rows);
  const int channels = image.channels;
  RowSource source(image, across.first_input(), across.input_count());
  const size_t out_length = size_t{1} * across.count() * channels;
  std::vector<uint8_t> out(out_length * down.count());

  // The order of the passes shows in the last bit. Since version 13 Pillow
  // goes down first where that saves the most.
  const int64_t fewer_rows = rows.in - rows.out;
  const int64_t fewer_columns = columns.in - columns.out;
  if (fewer_rows > 0 && fewer_rows > 2 * fewer_columns) {
    const size_t in_length = size_t{1} * across.input_count() * channels;
    std::vector<uint8_t> line(in_length);
    std::vector<int32_t> sums(in_length);
    const auto row_at = [&](int y) {
      return source.Row(down.first_input() + y);
    };
    for (int i = 0; i < down.count(); ++i) {
      ResampleRows(down, i, row_at, &sums, line.data());
      ResampleColumns(line.data(), channels, across, &out[i * out_length]);
    }
    return out;
  }

  std::vector<uint8_t> narrow(out_length * down.input_count());
  for (int y = 0; y < down.input_count(); ++y) {
    ResampleColumns(source.Row(down.first_input() + y), channels, across,
                    &narrow[y * out_length]);
  }
  std::vector<int32_t> sums(out_length);
  const auto row_at = [&](int y) { return &narrow[y * out_length]; };
  for (int i = 0; i < down.count(); ++i) {
    ResampleRows(down, i, row_at, &sums, &out[i * out_length]);
  }
  return out;
}

// start + step + step + ..., rounded after each addition as a loop would, in
// a time that does not grow with `times`: between two powers of two
// the rounded increment is constant once two in a row were equal (a
// tie can make the first one differ).
double AddRepeatedly(double start, double step, int64_t times) {
  double increment_before = 0;
  while (times > 0) {
    const double next = start + step;
    const double increment = next - start;
    const bool steady = increment == increment_before &&
                        std::ilogb(start - increment) == std::ilogb(next);
    increment_before = increment;
    start = next;
    --times;
    if (!steady) continue;
    const double end = std::ldexp(1.0, std::ilogb(start) + 1);
    const double room = std::floor((end - start) / increment) - 1;
    if (room < 1) continue;
    const auto skipped = static_cast<int64_t>(std::min(room, 0.0 + times));
    start = std::fma(skipped, increment, start);
    times -= skipped;
  }
  return start;
}

// The input sample of each kept output sample, as Pillow finds it: by adding
// the scale again and again, rounding errors included.
std::vector<int> NearestSamples(const Axis& axis) {
  const double scale = axis.scale();
  double position = AddRepeatedly(scale * 0.5, scale, axis.first);
  std::vector<int> samples(axis.count);
  for (int& sample : samples) {
    sample = std::min(static_cast<int>(position), axis.in - 1);
    position += scale;
  }
  return samples;
}

// The crop of an image of one channel, [rows.count, columns.count].
std::vector<uint8_t> ResizeNearest(const Image& image, const Axis& columns,
                                   const Axis& rows) {
  const std::vector<int> xs = NearestSamples(columns);
  std::vector<uint8_t> out;
  out.reserve(size_t{1} * rows.count * columns.count);
  for (const int y : NearestSamples(rows)) {
    const uint8_t* row = &image.pixels[size_t{1} * y * image.width];
    for (const int x : xs) out.push_back(row[x]);
  }
  return out;
}

// The crop of an image that has the right size already.
std::vector<uint8_t> Cut(const Image& image, const Axis& columns,
                         const Axis& rows) {
  const size_t stride = size_t{1} * image.width * image.channels;
  const size_t length = size_t{1} * columns.count * image.channels;
  std::vector<uint8_t> out;
  out.reserve(length * rows.count);
  for (int y = 0; y < rows.count; ++y) {
    const auto row = image.pixels.begin() + (rows.first + y) * stride +
                     columns.first * image.channels;
    out.insert(out.end(), row, row + length);
  }
  return out;
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

// Pillow's convert("RGB") of pixels in the image's mode.
std::vector<uint8_t> ToRgb(const Image& image, std::vector<uint8_t> pixels) {
  if (image.mode == ImageMode::kRGB) return pixels;
  std::vector<uint8_t> rgb;
  rgb.reserve(pixels.size() / image.channels * 3);
  for (size_t i = 0; i < pixels.size(); i += image.channels) {
    const uint8_t* const p = &pixels[i];
    switch (image.mode) {
      case ImageMode::kP: {
        const std::array<uint8_t, 3>& color = image.palette[p[0]];
        rgb.insert(rgb.end(), color.begin(), color.end());
        break;
      }
      case ImageMode::kCMYK: {
        const int light = 255 - p[3];
        for (int c = 0; c < 3; ++c) {
          rgb.push_back(std::max(light - MultiplyUnit(p[c], light), 0));
        }
        break;
      }
      case ImageMode::k1:
      case ImageMode::kL:
      case ImageMode::kLA:
        rgb.insert(rgb.end(), 3, p[0]);
        break;
      case ImageMode::kRGB:
      case ImageMode::kRGBA:
        rgb.insert(rgb.end(), p, p + 3);
        break;
    }
  }
  return rgb;
}

}  // namespace

std::vector<uint8_t> CropForModel(const Image& image, int size) {
  // torchvision's Resize(size): the shorter side becomes `size`, the longer
  // int(size * long / short).
  const int shorter = std::min(image.width, image.height);
  const int longer = std::max(image.width, image.height);
  const auto out_longer = static_cast<int64_t>(
      static_cast<double>(int64_t{size} * longer) / shorter);
  const bool wide = image.width > image.height;
  const Axis columns = MakeAxis(image.width, wide ? out_longer : size, size);
  const Axis rows = MakeAxis(image.height, wide ? size : out_longer, size);

  if (columns.in == columns.out && rows.in == rows.out) {
    return ToRgb(image, Cut(image, columns, rows));
  }
  if (image.mode == ImageMode::k1 || image.mode == ImageMode::kP) {
    return ToRgb(image, ResizeNearest(image, columns, rows));
  }
  // A size that changes at all changes on both axes, so both passes run.
  std::vector<uint8_t> pixels = ResizeBicubic(image, columns, rows);
  if (image.mode == ImageMode::kLA || image.mode == ImageMode::kRGBA) {
    DivideByAlpha(image.channels, &pixels);
  }
  return ToRgb(image, std::move(pixels));
}

}  // namespace clip
