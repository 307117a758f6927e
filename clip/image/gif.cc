// GIF: the first frame as Pillow's GifImagePlugin shows it. The canvas is
// filled with the transparent colour, or else with colour 0, and grows where
// the frame reaches beyond it; a palette that is the grey ramp is none at all,
// so that the image is grey and resized as such. What follows the first frame
// is not read, and with it no disposal, which is of later frames.
#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "clip/image/bytes.h"
#include "clip/image/codecs.h"
#include "clip/image/gif_lzw.h"

namespace clip {
namespace {

using Palette = std::vector<std::array<uint8_t, 3>>;

constexpr size_t kScreen = 13;  // bytes before the first palette

struct Frame {
  int width = 0, height = 0;  // of the canvas
  int left = 0, top = 0, across = 0, down = 0;
  bool interlaced = false;
  std::optional<uint8_t> transparent;
  Palette palette;  // empty: grey
  int bits = 0;     // of a colour in its data
  size_t data = 0;  // where that begins
};

class Parser {
 public:
  explicit Parser(absl::string_view bytes)
      : bytes_(bytes), number_(bytes, /*big_endian=*/false) {}

  // Reads all before the frame's pixels.
  absl::StatusOr<Frame> Parse() {
    if (bytes_.size() < kScreen) return End();
    frame_.width = static_cast<int>(number_.U16(6));
    frame_.height = static_cast<int>(number_.U16(8));
    at_ = kScreen;
    if (!ReadPalette(number_.U8(10), &frame_.palette)) return End();
    while (at_ < bytes_.size()) {
      const char kind = bytes_[at_++];
      if (kind == ';') break;
      if (kind == '!') {
        absl::Status read = ReadExtension();
        if (!read.ok()) return read;
      } else if (kind == ',') {
        return ReadFrame();
      }
    }
    return DamagedImage("GIF", "it holds no frame");
  }

 private:
  static absl::Status End() {
    return DamagedImage("GIF", "the file ends early");
  }

  // If `flags` say that there is one. False: the file ends.
  bool ReadPalette(uint32_t flags, Palette* palette) {
    if ((flags & 0x80) == 0) return true;
    const int count = 2 << (flags & 7);
    palette->clear();
    bool grey = true;
    for (int i = 0; i < count; ++i, at_ += 3) {
      if (bytes_.size() - at_ < 3) return false;
      std::array<uint8_t, 3> colour;
      std::memcpy(colour.data(), &bytes_[at_], 3);
      grey = grey && colour[0] == i && colour[1] == i && colour[2] == i;
      palette->push_back(colour);
    }
    if (grey) {
      palette->clear();
    } else {
      palette->resize(256);
    }
    return true;
  }

  // The next block of an extension; empty if it was the last.
  absl::string_view Block() {
    if (at_ >= bytes_.size()) return "";
    const size_t size = number_.U8(at_++);
    const absl::string_view block = bytes_.substr(at_, size);
    at_ += block.size();
    return block;
  }

  absl::Status ReadExtension() {
    if (at_ >= bytes_.size()) return End();
    constexpr uint32_t kGraphicControl = 0xf9;
    const uint32_t label = number_.U8(at_++);
    const absl::string_view block = Block();
    if (label == kGraphicControl && !block.empty()) {
      const bool transparent = (block[0] & 1) != 0;
      if (block.size() < (transparent ? 4 : 3)) return End();
      if (transparent) frame_.transparent = static_cast<uint8_t>(block[3]);
    }
    // Pillow takes what follows an empty first block as further ones, but of a
    // comment.
    constexpr uint32_t kComment = 0xfe;
    if (block.empty() && label == kComment) return absl::OkStatus();
    while (!Block().empty()) {
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Frame> ReadFrame() {
    if (bytes_.size() - at_ < 9) return End();
    frame_.left = static_cast<int>(number_.U16(at_));
    frame_.top = static_cast<int>(number_.U16(at_ + 2));
    frame_.across = static_cast<int>(number_.U16(at_ + 4));
    frame_.down = static_cast<int>(number_.U16(at_ + 6));
    const uint32_t flags = number_.U8(at_ + 8);
    at_ += 9;
    frame_.width = std::max(frame_.width, frame_.left + frame_.across);
    frame_.height = std::max(frame_.height, frame_.top + frame_.down);
    frame_.interlaced = (flags & 0x40) != 0;
    if (!ReadPalette(flags, &frame_.palette) || at_ >= bytes_.size())
      return End();
    frame_.bits = static_cast<int>(number_.U8(at_++));
    frame_.data = at_;
    if (frame_.across == 0 || frame_.down == 0)
      return DamagedImage("GIF", "its first frame has no pixels");
    if (frame_.bits > 8)
      return DamagedImage("GIF", "its colours have more than 8 bits");
    return frame_;
  }

  const absl::string_view bytes_;
  const ByteReader number_;
  size_t at_ = 0;
  Frame frame_;
};

// The row after `y`, in the order in which the file has them; `down` after the
// last. Interlaced files have four passes, the first and second of every eighth
// row.
class RowOrder {
 public:
  RowOrder(bool interlaced, int down)
      : down_(down), step_(interlaced ? 8 : 1), pass_(interlaced ? 1 : 0) {}

  int Next(int y) {
    y += step_;
    while (y >= down_ && pass_ > 0 && pass_ < 4) {
      constexpr int kFirst[] = {0, 4, 2, 1}, kStep[] = {8, 8, 4, 2};
      y = kFirst[pass_];
      step_ = kStep[pass_];
      ++pass_;
    }
    return y;
  }

 private:
  const int down_;
  int step_;
  int pass_;
};

// Writes the frame's pixels into the canvas.
absl::Status Paint(absl::string_view bytes, const Frame& frame, Image* canvas,
                   DecodeRun* run) {
  GifLzw lzw(bytes.substr(frame.data), frame.bits, run);
  RowOrder order(frame.interlaced, frame.down);
  int x = 0;
  for (int y = 0; y < frame.down;) {
    absl::Span<const uint8_t> pixels = lzw.Next();
    if (!run->Continue(static_cast<int64_t>(pixels.size())))
      return run->stopped();
    if (pixels.empty()) return DamagedImage("GIF", lzw.reason());
    while (!pixels.empty() && y < frame.down) {
      const size_t count = std::min<size_t>(pixels.size(), frame.across - x);
      uint8_t* row =
          &canvas->pixels[size_t{1} * (frame.top + y) * canvas->width +
                          frame.left + x];
      std::memcpy(row, pixels.data(), count);
      pixels.remove_prefix(count);
      x += static_cast<int>(count);
      if (x == frame.across) {
        x = 0;
        y = order.Next(y);
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Image> DecodeGif(absl::string_view bytes, DecodeRun* run) {
  absl::StatusOr<Frame> frame = Parser(bytes).Parse();
  if (!frame.ok()) return frame.status();
  absl::Status begun =
      run->Begin(frame->width, frame->height,
                 run->ImageBytes(frame->width, frame->height, 1) +
                     static_cast<int64_t>(sizeof(GifLzw)));
  if (!begun.ok()) return begun;
  Image canvas =
      NewImage(frame->palette.empty() ? ImageMode::kL : ImageMode::kP,
               frame->width, frame->height);
  canvas.palette = std::move(frame->palette);
  const bool covered =
      frame->across == frame->width && frame->down == frame->height;
  for (int y = 0; y < canvas.height && !covered; ++y) {
    if (!run->Continue(canvas.width)) return run->stopped();
    std::memset(&canvas.pixels[size_t{1} * y * canvas.width],
                frame->transparent.value_or(0), canvas.width);
  }
  absl::Status painted = Paint(bytes, *frame, &canvas, run);
  if (!painted.ok()) return painted;
  return canvas;
}

}  // namespace clip
