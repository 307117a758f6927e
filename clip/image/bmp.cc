// Windows' bitmaps as Pillow's BmpImagePlugin reads them: 1, 4 and 8 bits with
// a palette (a grey ramp is none at all), 16, 24 and 32 bits, bit fields, and
// run lengths.
#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "clip/image/bytes.h"
#include "clip/image/codecs.h"
#include "clip/image/raw_rows.h"

namespace clip {
namespace {

enum Compression { kRaw = 0, kRle8 = 1, kRle4 = 2, kBitFields = 3 };

// What a file's headers say.
struct Bitmap {
  int64_t width = 0, height = 0;
  bool top_down = false;
  int bits = 0;
  uint32_t compression = kRaw;
  size_t pixels = 0;  // where they begin
  ImageMode mode = ImageMode::kRGB;
  std::vector<std::array<uint8_t, 3>> palette;
  // Of 32 bits: the byte of red, green, blue, alpha in a pixel.
  std::array<int, 4> byte_of = {2, 1, 0, 3};
  bool six_green = false;  // 16 bits: 5-6-5 instead of 5-5-5

  int64_t row_bytes() const { return (width * bits + 7) / 8; }
  int64_t stride() const { return (width * bits + 31) / 32 * 4; }
  // How far down the file's row of image row y lies.
  int64_t RowInFile(int y) const { return top_down ? y : height - 1 - y; }
};

absl::Status Damaged(absl::string_view what) {
  return DamagedImage("BMP", what);
}

class Parser {
 public:
  explicit Parser(absl::string_view bytes)
      : bytes_(bytes), number_(bytes, /*big_endian=*/false) {}

  absl::StatusOr<Bitmap> Parse() {
    header_ = number_.U32(kFileHeader);
    if (bytes_.size() < kFileHeader + header_)
      return Damaged("the file ends early");
    ReadSizes();
    size_t palette_at = kFileHeader + header_;
    if (bitmap_.compression == kBitFields) {
      if (header_ < 52) palette_at += 12;
      absl::Status fields = ReadFields();
      if (!fields.ok()) return fields;
    } else if (bitmap_.compression > kRle4 ||
               (bitmap_.compression == kRle8 && bitmap_.bits != 8) ||
               (bitmap_.compression == kRle4 && bitmap_.bits != 4)) {
      return Damaged(absl::StrCat("its compression ", bitmap_.compression,
                                  " is not supported"));
    }
    switch (bitmap_.bits) {
      case 1:
      case 4:
      case 8: {
        absl::Status palette = ReadPalette(palette_at);
        if (!palette.ok()) return palette;
        break;
      }
      case 16:
      case 24:
      case 32:
        break;
      default:
        return Damaged(absl::StrCat("pixels of ", bitmap_.bits,
                                    " bits; 1, 4, 8, 16, 24 and 32 are "
                                    "allowed"));
    }
    FindPixels(palette_at);
    return bitmap_;
  }

 private:
  static constexpr size_t kFileHeader = 14;

  void ReadSizes() {
    const size_t at = kFileHeader + 4;
    if (header_ == 12) {
      bitmap_.width = number_.U16(at);
      bitmap_.height = number_.U16(at + 2);
      bitmap_.bits = static_cast<int>(number_.U16(at + 6));
    } else {
      bitmap_.width = number_.U32(at);
      bitmap_.height = number_.U32(at + 4);
      // A negative height: the first row comes first.
      bitmap_.top_down = number_.U8(at + 7) == 0xff;
      if (bitmap_.top_down)
        bitmap_.height = (int64_t{1} << 32) - bitmap_.height;
      bitmap_.bits = static_cast<int>(number_.U16(at + 10));
      bitmap_.compression = number_.U32(at + 12);
      colours_ = number_.U32(at + 28);
    }
    if (colours_ == 0) colours_ = uint32_t{1} << std::min(bitmap_.bits, 31);
  }

  // Those layouts that Pillow knows.
  absl::Status ReadFields() {
    const size_t at = kFileHeader + 40;
    const uint32_t red = number_.U32(at), green = number_.U32(at + 4),
                   blue = number_.U32(at + 8),
                   alpha = header_ >= 56 ? number_.U32(at + 12) : 0;
    const auto are = [&](uint32_t r, uint32_t g, uint32_t b) {
      return red == r && green == g && blue == b;
    };
    if (bitmap_.bits == 16 && are(0xf800, 0x7e0, 0x1f)) {
      bitmap_.six_green = true;
      return absl::OkStatus();
    }
    if ((bitmap_.bits == 16 && are(0x7c00, 0x3e0, 0x1f)) ||
        (bitmap_.bits == 24 && are(0xff0000, 0xff00, 0xff))) {
      return absl::OkStatus();
    }
    if (bitmap_.bits == 32) {
      struct Layout {
        std::array<uint32_t, 4> masks;
        std::array<int, 4> byte_of;  // alpha -1: there is none
      };
      static constexpr Layout kLayouts[] = {
          {{0xff0000, 0xff00, 0xff, 0}, {2, 1, 0, -1}},
          {{0xff000000, 0xff0000, 0xff00, 0}, {3, 2, 1, -1}},
          {{0xff000000, 0xff00, 0xff, 0}, {3, 1, 0, -1}},
          {{0xff000000, 0xff0000, 0xff00, 0xff}, {3, 2, 1, 0}},
          {{0xff, 0xff00, 0xff0000, 0xff000000}, {0, 1, 2, 3}},
          {{0xff0000, 0xff00, 0xff, 0xff000000}, {2, 1, 0, 3}},
          {{0xff000000, 0xff00, 0xff, 0xff0000}, {3, 1, 0, 2}},
          {{0, 0, 0, 0}, {2, 1, 0, 3}}};
      for (const Layout& layout : kLayouts) {
        if (layout.masks != std::array{red, green, blue, alpha}) continue;
        bitmap_.byte_of = layout.byte_of;
        if (layout.byte_of[3] >= 0) bitmap_.mode = ImageMode::kRGBA;
        return absl::OkStatus();
      }
    }
    return Damaged("its bit fields are of a layout that is not supported");
  }

  // Blue, green, red, and in newer files a byte more.
  absl::Status ReadPalette(size_t at) {
    const size_t entry = header_ == 12 ? 3 : 4;
    if (colours_ > 256)
      return Damaged(absl::StrCat("a palette of ", colours_, " colours"));
    if (bytes_.size() < at || bytes_.size() - at < colours_ * entry)
      return Damaged("the file ends early");
    bool grey = true;
    for (uint32_t i = 0; i < colours_; ++i) {
      const size_t from = at + i * entry;
      bitmap_.palette.push_back({static_cast<uint8_t>(bytes_[from + 2]),
                                 static_cast<uint8_t>(bytes_[from + 1]),
                                 static_cast<uint8_t>(bytes_[from])});
      const uint32_t step = colours_ == 2 ? i * 255 : i;
      for (int c = 0; c < 3; ++c) grey = grey && number_.U8(from + c) == step;
    }
    bitmap_.mode = ImageMode::kP;
    if (grey && bitmap_.bits == 8 && colours_ > 2) bitmap_.mode = ImageMode::kL;
    if (grey && bitmap_.bits == 1 && colours_ <= 2)
      bitmap_.mode = ImageMode::k1;
    bitmap_.palette.resize(256);
    if (bitmap_.mode != ImageMode::kP) bitmap_.palette.clear();
    return absl::OkStatus();
  }

  void FindPixels(size_t palette_at) {
    const size_t palette =
        bitmap_.bits <= 8 ? size_t{colours_} * (header_ == 12 ? 3 : 4) : 0;
    bitmap_.pixels = number_.U32(10);
    if (bitmap_.pixels == 0) bitmap_.pixels = palette_at + palette;
    // Some writers forget the palette.
    if (bitmap_.pixels == kFileHeader + header_) bitmap_.pixels += palette;
  }

  const absl::string_view bytes_;
  const ByteReader number_;
  size_t header_ = 0;
  uint32_t colours_ = 0;
  Bitmap bitmap_;
};

uint8_t Widened(int value, int most) {
  return static_cast<uint8_t>(value * 255 / most);
}

// A row of the file to a row of the image.
void ReadRow(const Bitmap& bitmap, const uint8_t* from, uint8_t* row) {
  const auto width = static_cast<int>(bitmap.width);
  switch (bitmap.bits) {
    case 1:
      for (int x = 0; x < width; ++x) {
        const int bit = from[x / 8] >> (7 - x % 8) & 1;
        row[x] = static_cast<uint8_t>(bitmap.mode == ImageMode::k1 ? bit * 255
                                                                   : bit);
      }
      break;
    case 4:
      for (int x = 0; x < width; ++x)
        row[x] = x % 2 == 0 ? from[x / 2] >> 4 : from[x / 2] & 15;
      break;
    case 8:
      std::memcpy(row, from, width);
      break;
    case 16:
      for (int x = 0; x < width; ++x, from += 2, row += 3) {
        const int pixel = from[0] | from[1] << 8;
        row[0] = Widened(pixel >> (bitmap.six_green ? 11 : 10) & 31, 31);
        row[1] = bitmap.six_green ? Widened(pixel >> 5 & 63, 63)
                                  : Widened(pixel >> 5 & 31, 31);
        row[2] = Widened(pixel & 31, 31);
      }
      break;
    case 24:
      for (int x = 0; x < width; ++x, from += 3, row += 3) {
        row[0] = from[2];
        row[1] = from[1];
        row[2] = from[0];
      }
      break;
    default: {
      const int channels = ChannelsOf(bitmap.mode);
      for (int x = 0; x < width; ++x, from += 4, row += channels) {
        for (int c = 0; c < channels; ++c) row[c] = from[bitmap.byte_of[c]];
      }
    }
  }
}

absl::StatusOr<Bitmap> Open(absl::string_view bytes, const DecodeRun& run) {
  absl::StatusOr<Bitmap> bitmap = Parser(bytes).Parse();
  if (!bitmap.ok()) return bitmap;
  absl::Status size = run.CheckSize(bitmap->width, bitmap->height);
  if (!size.ok()) return size;
  const size_t left =
      bytes.size() - std::min<size_t>(bitmap->pixels, bytes.size());
  // The padding of the last row may be missing.
  const int64_t needed =
      bitmap->stride() * (bitmap->height - 1) + bitmap->row_bytes();
  if (bitmap->compression != kRle8 && bitmap->compression != kRle4 &&
      static_cast<int64_t>(left) < needed) {
    return Damaged("the file ends early");
  }
  return bitmap;
}

RawRows Rows(absl::string_view bytes, const Bitmap& bitmap) {
  RawRows rows;
  rows.mode = bitmap.mode;
  rows.width = static_cast<int>(bitmap.width);
  rows.height = static_cast<int>(bitmap.height);
  rows.palette = bitmap.palette;
  const auto* pixels =
      reinterpret_cast<const uint8_t*>(bytes.data()) + bitmap.pixels;
  rows.read = [bitmap, pixels](int y, uint8_t* row) {
    ReadRow(bitmap, pixels + bitmap.RowInFile(y) * bitmap.stride(), row);
  };
  return rows;
}

// Run lengths, to the indices in the order of the file. Where Pillow is odd
// (rows that are too long, jumps) so is this.
class RunLengths {
 public:
  RunLengths(absl::string_view bytes, const Bitmap& bitmap)
      : bytes_(bytes), at_(bitmap.pixels), bitmap_(bitmap) {}

  // All of them to `out`. False: the data ends too early, or the run was
  // stopped.
  bool Read(uint8_t* out, DecodeRun* run) {
    out_ = out;
    const int64_t width = bitmap_.width;
    while (done_ < count()) {
      if (bytes_.size() < at_ || bytes_.size() - at_ < 2) return false;
      const int length = Next(), what = Next();
      if (!run->Continue(length + what)) return false;
      if (length > 0) {
        const auto fitting =
            static_cast<int>(std::clamp<int64_t>(width - x_, 0, length));
        for (int i = 0; i < fitting; ++i) {
          Put(bitmap_.compression == kRle8 ? what
              : i % 2 == 0                 ? what >> 4
                                           : what & 15);
        }
        x_ += fitting;
      } else if (what == 0) {  // the end of a row
        if (done_ % width != 0 && !PutZeros(width - done_ % width, run))
          return false;
        x_ = 0;
      } else if (what == 1) {  // the end of the image
        return false;
      } else if (what == 2) {  // a jump
        if (bytes_.size() - at_ < 2) return false;
        const int right = Next(), up = Next();
        if (!PutZeros(right + up * width, run)) return false;
        x_ = done_ % width;
      } else if (!ReadLiteral(what)) {
        return false;
      }
    }
    return true;
  }

 private:
  int64_t count() const { return bitmap_.width * bitmap_.height; }
  int Next() { return static_cast<uint8_t>(bytes_[at_++]); }
  void Put(int value) {
    if (done_ < count()) out_[done_++] = static_cast<uint8_t>(value);
  }

  // So many, or as many as there is room for. False: the run was stopped, which
  // is looked at within rows too, since one can be a hundred million wide.
  bool PutZeros(int64_t zeros, DecodeRun* run) {
    constexpr int64_t kAtOnce = 1 << 16;
    zeros = std::min(zeros, count() - done_);
    while (zeros > 0) {
      const int64_t n = std::min(zeros, kAtOnce);
      if (!run->Continue(n)) return false;
      std::memset(out_ + done_, 0, n);
      done_ += n;
      zeros -= n;
    }
    return true;
  }

  bool ReadLiteral(int length) {
    const auto taken =
        static_cast<int>(std::min<int64_t>(count() - done_, length));
    const int size = bitmap_.compression == kRle4 ? (taken + 1) / 2 : taken;
    if (static_cast<int64_t>(bytes_.size() - at_) < size) return false;
    for (int i = 0; i < taken; ++i) {
      if (bitmap_.compression == kRle8) {
        Put(Next());
      } else {
        const int pair = static_cast<uint8_t>(bytes_[at_ + i / 2]);
        Put(i % 2 == 0 ? pair >> 4 : pair & 15);
      }
    }
    if (bitmap_.compression == kRle4) at_ += size;
    x_ += length;
    if (at_ % 2 != 0) ++at_;
    return true;
  }

  const absl::string_view bytes_;
  size_t at_;
  const Bitmap& bitmap_;
  uint8_t* out_ = nullptr;
  int64_t done_ = 0;
  int64_t x_ = 0;
};

absl::StatusOr<Image> DecodeRle(absl::string_view bytes, Bitmap bitmap,
                                DecodeRun* run) {
  absl::Status begun = run->Begin(
      bitmap.width, bitmap.height,
      run->ImageBytes(bitmap.width, bitmap.height, 1) + bitmap.width);
  if (!begun.ok()) return begun;
  Image image = NewImage(bitmap.mode, static_cast<int>(bitmap.width),
                         static_cast<int>(bitmap.height));
  if (!RunLengths(bytes, bitmap).Read(image.pixels.data(), run)) {
    return run->stopped().ok() ? Damaged("its data ends before its last pixel")
                               : run->stopped();
  }
  image.palette = std::move(bitmap.palette);
  if (bitmap.top_down) return image;
  for (int y = 0; y < image.height / 2; ++y) {
    if (!run->Continue(image.width)) return run->stopped();
    const size_t other = size_t{1} * (image.height - 1 - y) * image.width;
    uint8_t* row = &image.pixels[size_t{1} * y * image.width];
    std::swap_ranges(row, row + image.width, &image.pixels[other]);
  }
  return image;
}

bool IsRle(const Bitmap& bitmap) {
  return bitmap.compression == kRle8 || bitmap.compression == kRle4;
}

}  // namespace

absl::StatusOr<Image> DecodeBmp(absl::string_view bytes, DecodeRun* run) {
  absl::StatusOr<Bitmap> bitmap = Open(bytes, *run);
  if (!bitmap.ok()) return bitmap.status();
  if (IsRle(*bitmap)) return DecodeRle(bytes, *std::move(bitmap), run);
  return DecodeRaw(Rows(bytes, *bitmap), run);
}

absl::StatusOr<std::vector<uint8_t>> CropBmp(absl::string_view bytes,
                                             CropShape shape, DecodeRun* run) {
  absl::StatusOr<Bitmap> bitmap = Open(bytes, *run);
  if (!bitmap.ok()) return bitmap.status();
  if (!IsRle(*bitmap)) return CropRaw(Rows(bytes, *bitmap), shape, run);
  const absl::StatusOr<Image> image = DecodeRle(bytes, *std::move(bitmap), run);
  if (!image.ok()) return image.status();
  return CropImage(*image, shape, run);
}

}  // namespace clip
