#include "clip/image/vp8l_transforms.h"

#include <algorithm>
#include <cstdlib>

namespace clip {
namespace {

constexpr uint32_t kBlack = 0xff000000u;

uint32_t Average(uint32_t a, uint32_t b) {
  return (((a ^ b) & 0xfefefefeu) >> 1) + (a & b);
}

int Channel(uint32_t pixel, int shift) { return pixel >> shift & 0xff; }

template <typename Function>
uint32_t EachChannel(const Function& function) {
  uint32_t pixel = 0;
  for (int shift = 0; shift < 32; shift += 8) {
    pixel |= static_cast<uint32_t>(std::clamp(function(shift), 0, 255))
             << shift;
  }
  return pixel;
}

// The one of the two that is nearer to what both would continue.
uint32_t Select(uint32_t top, uint32_t left, uint32_t corner) {
  int nearer_to_top = 0;
  for (int shift = 0; shift < 32; shift += 8) {
    const int c = Channel(corner, shift);
    nearer_to_top +=
        std::abs(Channel(left, shift) - c) - std::abs(Channel(top, shift) - c);
  }
  return nearer_to_top <= 0 ? top : left;
}

uint32_t Full(uint32_t left, uint32_t top, uint32_t corner) {
  return EachChannel([&](int shift) {
    return Channel(left, shift) + Channel(top, shift) - Channel(corner, shift);
  });
}

uint32_t Half(uint32_t left, uint32_t top, uint32_t corner) {
  const uint32_t average = Average(left, top);
  return EachChannel([&](int shift) {
    const int a = Channel(average, shift);
    return a + (a - Channel(corner, shift)) / 2;
  });
}

template <int kMode>
uint32_t Predict(uint32_t left, const uint32_t* above) {
  const uint32_t corner = above[-1], top = above[0], right = above[1];
  switch (kMode) {
    case 1:
      return left;
    case 2:
      return top;
    case 3:
      return right;
    case 4:
      return corner;
    case 5:
      return Average(Average(left, right), top);
    case 6:
      return Average(left, corner);
    case 7:
      return Average(left, top);
    case 8:
      return Average(corner, top);
    case 9:
      return Average(top, right);
    case 10:
      return Average(Average(left, corner), Average(top, right));
    case 11:
      return Select(top, left, corner);
    case 12:
      return Full(left, top, corner);
    case 13:
      return Half(left, top, corner);
    default:
      return kBlack;
  }
}

template <int kMode>
void AddPrediction(const uint32_t* before, int begin, int end, uint32_t* row) {
  for (int x = begin; x < end; ++x) {
    row[x] = AddPixels(row[x], Predict<kMode>(row[x - 1], before + x));
  }
}

int Delta(uint32_t by, uint32_t color) {
  return static_cast<int8_t>(by) * static_cast<int8_t>(color) >> 5;
}

}  // namespace

void UndoPredictor(const uint32_t* tiles, int bits, bool first, int width,
                   uint32_t* before, uint32_t* row) {
  static constexpr decltype(&AddPrediction<0>) kModes[16] = {
      AddPrediction<0>,  AddPrediction<1>,  AddPrediction<2>,
      AddPrediction<3>,  AddPrediction<4>,  AddPrediction<5>,
      AddPrediction<6>,  AddPrediction<7>,  AddPrediction<8>,
      AddPrediction<9>,  AddPrediction<10>, AddPrediction<11>,
      AddPrediction<12>, AddPrediction<13>, AddPrediction<0>,
      AddPrediction<0>};
  row[0] = AddPixels(row[0], first ? kBlack : before[0]);
  if (first) {
    AddPrediction<1>(before, 1, width, row);
  } else {
    // To the right of the row above the format sees the first pixel of this.
    before[width] = row[0];
    for (int x = 1, tile = 0; x < width; ++tile) {
      const int end = std::min((tile + 1) << bits, width);
      kModes[tiles[tile] >> 8 & 15](before, x, end, row);
      x = std::max(x, end);
    }
  }
  std::copy_n(row, width, before);
}

void UndoCrossColor(const uint32_t* tiles, int bits, int width, uint32_t* row) {
  for (int x = 0; x < width; ++x) {
    const uint32_t by = tiles[x >> bits];
    const uint32_t green = row[x] >> 8;
    const uint32_t red = (row[x] >> 16) + Delta(by, green);
    const uint32_t blue = row[x] + Delta(by >> 8, green) + Delta(by >> 16, red);
    row[x] = (row[x] & 0xff00ff00u) | (red & 0xff) << 16 | (blue & 0xff);
  }
}

void UndoSubtractGreen(int width, uint32_t* row) {
  for (int x = 0; x < width; ++x) {
    const uint32_t green = row[x] >> 8 & 0xff;
    row[x] = AddPixels(row[x], green << 16 | green);
  }
}

void UndoColorIndexing(const uint32_t* palette, int bits, int width,
                       uint32_t* row) {
  // From the right, so that no word is overwritten that is still to be read.
  const int per_index = 8 >> bits;
  const uint32_t mask = (1u << per_index) - 1;
  for (int x = width - 1; x >= 0; --x) {
    const int at = (x & ((1 << bits) - 1)) * per_index;
    row[x] = palette[row[x >> bits] >> 8 >> at & mask];
  }
}

}  // namespace clip
