// Compiled without contraction of a * b + c (see CMakeLists.txt).
#include "clip/image/bicubic.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace clip {
namespace {

Axis MakeAxis(int in, int64_t out, int size, bool bilinear) {
  // Python's round((out - size) / 2): halves go to the even neighbour.
  const int64_t excess = out - size;
  const int64_t half = excess / 2;
  return {.in = in,
          .out = out,
          .first = half + (excess % 2 != 0 && half % 2 != 0 ? 1 : 0),
          .count = size,
          .bilinear = bilinear};
}

double BicubicKernel(double x) {
  x = std::abs(x);
  if (x < 1.0) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * -0.5;
  return 0.0;
}

double BilinearKernel(double x) {
  x = std::abs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

int32_t ToFixedPoint(double weight) {
  const double scaled = weight * (1 << ResizeKernels::kWeightBits);
  return static_cast<int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
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

}  // namespace

namespace {

// transformers' get_image_size_for_max_num_patches, of one side.
int PatchesOf(int side, double scale, int patch) {
  return std::max(1, static_cast<int>(std::ceil(side * scale / patch)));
}

// The largest scale by which an image's patches are few enough, as it finds it.
double PatchScale(int width, int height, CropShape shape) {
  constexpr double kEpsilon = 1e-5;
  double low = kEpsilon / 10, high = 100;
  while (high - low >= kEpsilon) {
    const double scale = (low + high) / 2;
    const int64_t patches = int64_t{PatchesOf(height, scale, shape.patch)} *
                            PatchesOf(width, scale, shape.patch);
    (patches <= shape.most_patches ? low : high) = scale;
  }
  return low;
}

}  // namespace

CropGeometry::CropGeometry(int width, int height, CropShape shape)
    : shape(shape) {
  const int size = shape.side;
  if (shape.resize == ResizeMode::kSquash) {
    columns = MakeAxis(width, size, size, shape.bilinear);
    rows = MakeAxis(height, size, size, shape.bilinear);
    return;
  }
  if (shape.resize == ResizeMode::kPatches) {
    const double scale = PatchScale(width, height, shape);
    const auto axis = [&](int in) {
      const int out = PatchesOf(in, scale, shape.patch) * shape.patch;
      return MakeAxis(in, out, out, shape.bilinear);
    };
    columns = axis(width);
    rows = axis(height);
    return;
  }
  if (shape.resize == ResizeMode::kLongest) {
    // In Python's order of operations; halves go to the even neighbour.
    const double ratio = std::max(static_cast<double>(height) / size,
                                  static_cast<double>(width) / size);
    const auto axis = [&](int in) {
      const int out = std::max(static_cast<int>(std::nearbyint(in / ratio)), 1);
      return MakeAxis(in, out, out, shape.bilinear);
    };
    columns = axis(width);
    rows = axis(height);
    return;
  }
  // torchvision's Resize(size): the shorter side becomes `size`, the longer
  // int(size * long / short).
  const int shorter = std::min(width, height);
  const int longer = std::max(width, height);
  const auto out_longer = static_cast<int64_t>(
      static_cast<double>(int64_t{size} * longer) / shorter);
  const bool wide = width > height;
  columns = MakeAxis(width, wide ? out_longer : size, size, shape.bilinear);
  rows = MakeAxis(height, wide ? size : out_longer, size, shape.bilinear);
}

void CropGeometry::ShrinkTo(int width, int height, int eighths) {
  columns.shrunk_from = columns.in;
  rows.shrunk_from = rows.in;
  columns.in = width;
  rows.in = height;
  columns.eighths = rows.eighths = eighths;
}

FilterWindows::FilterWindows(const Axis& axis) {
  const double scale = axis.scale();
  const double stretch = std::max(scale, 1.0);
  const double support = (axis.bilinear ? 1.0 : 2.0) * stretch;
  const double inverse_stretch = 1.0 / stretch;
  // Room for all at once: windows point into weights_.
  const auto longest = std::min<int64_t>(std::ceil(2 * support) + 2, axis.in);
  weights_.resize(axis.count * longest);
  windows_.resize(axis.count);
  std::vector<double> weights(longest);
  int32_t* next = weights_.data();
  for (int i = 0; i < axis.count; ++i) {
    const double center = (axis.first + i + 0.5) * scale;
    const int begin = std::max(static_cast<int>(center - support + 0.5), 0);
    const int end = std::min(static_cast<int>(center + support + 0.5), axis.in);
    double sum = 0.0;
    for (int x = begin; x < end; ++x) {
      const double distance = (x - center + 0.5) * inverse_stretch;
      weights[x - begin] =
          axis.bilinear ? BilinearKernel(distance) : BicubicKernel(distance);
      sum += weights[x - begin];
    }
    if (i == 0) first_input_ = begin;
    input_count_ = end - first_input_;
    windows_[i] = {begin - first_input_, end - begin, next};
    for (int x = begin; x < end; ++x) {
      const double weight = weights[x - begin];
      *next++ = ToFixedPoint(sum != 0.0 ? weight / sum : weight);
    }
  }
}

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

}  // namespace clip
