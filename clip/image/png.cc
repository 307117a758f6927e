// PNG through libpng, brought to the modes that Pillow's PngImagePlugin gives:
// transparency by tRNS is ignored (the reference drops it), and of 16-bit
// samples the high byte is kept.
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>

#include "clip/image/codecs.h"
#include "clip/image/row_cropper.h"

namespace clip {
namespace {

using Palette = std::vector<std::array<uint8_t, 3>>;

constexpr size_t kSignatureAndIhdr = 8 + 8 + 13;

uint32_t BigEndian32(const char* p) {
  return png_get_uint_32(reinterpret_cast<png_const_bytep>(p));
}

class PngReader {
 public:
  explicit PngReader(absl::string_view bytes) : unread_(bytes) {
    png_ = png_create_read_struct(
        PNG_LIBPNG_VER_STRING, this,
        [](png_structp png, png_const_charp reason) {
          auto* reader = static_cast<PngReader*>(png_get_error_ptr(png));
          std::snprintf(reader->reason_, sizeof(reader->reason_), "%s", reason);
          png_longjmp(png, 1);
        },
        [](png_structp, png_const_charp) {});
    if (png_ == nullptr) return;
    info_ = png_create_info_struct(png_);
    // CheckImageSize has seen the size; libpng's own limit of a million pixels
    // a side would refuse images that are long and thin.
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    // No pixel depends on an ancillary chunk: skip them unread, so that
    // compressed ones cannot grow.
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_set_read_fn(png_, this, [](png_structp png, png_bytep out, size_t n) {
      auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
      if (n > reader->unread_.size()) png_error(png, "the file ends early");
      if (reader->in_last_row_ && (reader->left_for_last_row_ -= n) < 0) {
        png_error(png, "its pixel data goes on after its last row");
      }
      std::memcpy(out, reader->unread_.data(), n);
      reader->unread_.remove_prefix(n);
    });
  }

  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }

  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  // The steps; each returns false on failure, reason() says why then.
  bool ReadHeader() {
    if (png_ == nullptr || info_ == nullptr) return false;
    if (setjmp(png_jmpbuf(png_))) return false;
    png_read_info(png_, info_);
    bits_in_file_ = int64_t{bit_depth()} * png_get_channels(png_, info_);
    mode_ = Mode();
    return true;
  }

  // Takes rows of memory, which BytesForReading says.
  bool Start() {
    if (setjmp(png_jmpbuf(png_))) return false;
    if (bit_depth() == 16) png_set_strip_16(png_);
    if (color_type() == PNG_COLOR_TYPE_GRAY) {
      if (bit_depth() < 8) png_set_expand_gray_1_2_4_to_8(png_);
    } else {
      png_set_packing(png_);  // Palette indices: one a byte.
    }
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    if (row_bytes() != size_t{1} * width() * ChannelsOf(mode_)) {
      png_error(png_, "its rows do not fit its header");
    }
    return true;
  }

  // What reading takes beside the pixels: rows as the file has them, before
  // and after its filters, and what inflates them.
  int64_t BytesForReading() const {
    const int64_t bits =
        std::max<int64_t>(bits_in_file_, 8 * ChannelsOf(mode_));
    const int64_t row = (int64_t{width()} * bits + 7) / 8;
    return 4 * row + (64 << 10);
  }

  // REQUIRES: Start returned true; pixels has height rows of row_bytes.
  // Also false if the run was stopped.
  bool ReadPixels(uint8_t* pixels, DecodeRun* run) {
    if (setjmp(png_jmpbuf(png_))) return false;
    const size_t stride = row_bytes();
    const int rows = height();
    for (int pass = 0; pass < passes_; ++pass) {
      for (int y = 0; y < rows; ++y) {
        if (!run->Continue(width() / passes_)) return false;
        BeforeRow(pass == passes_ - 1 && y == rows - 1);
        png_read_row(png_, pixels + y * stride, nullptr);
      }
    }
    return ReadEnd();
  }

  // The same row by row. REQUIRES: the file is not interlaced.
  bool ReadRows(RowCropper* cropper, DecodeRun* run) {
    if (setjmp(png_jmpbuf(png_))) return false;
    const int rows = height();
    for (int y = 0; y < rows; ++y) {
      if (!run->Continue(width())) return false;
      BeforeRow(y == rows - 1);
      png_read_row(png_, cropper->row(), nullptr);
      cropper->RowDone();
    }
    return ReadEnd();
  }

  // The file's palette, black after its end, as Pillow has it.
  Palette ReadPalette() const {
    Palette palette(256);
    png_colorp colors = nullptr;
    int count = 0;
    png_get_PLTE(png_, info_, &colors, &count);
    for (int i = 0; i < std::min(count, 256); ++i) {
      palette[i] = {colors[i].red, colors[i].green, colors[i].blue};
    }
    return palette;
  }

  ImageMode mode() const { return mode_; }
  bool interlaced() const {
    return png_get_interlace_type(png_, info_) != PNG_INTERLACE_NONE;
  }
  int width() const { return png_get_image_width(png_, info_); }
  int height() const { return png_get_image_height(png_, info_); }
  size_t row_bytes() const { return png_get_rowbytes(png_, info_); }
  const char* reason() const { return reason_; }

 private:
  // With the last row libpng inflates whatever follows in the pixel data, to no
  // end. Pillow does not look at it. Some encoders leave a little there.
  void BeforeRow(bool last) {
    if (!last) return;
    in_last_row_ = true;
    left_for_last_row_ = static_cast<int64_t>(row_bytes()) + kMostAfterRows;
  }

  // What follows the pixels, whose checksums were compared with the last row.
  // Many files lack it or have it damaged; Pillow serves them too.
  bool ReadEnd() {
    in_last_row_ = false;
    if (setjmp(png_jmpbuf(png_))) return true;
    png_read_end(png_, nullptr);
    return true;
  }

  // Of the encoded data. A byte inflates to 1,032 at most: about 0.1 s.
  static constexpr int64_t kMostAfterRows = 64 << 10;

  int bit_depth() const { return png_get_bit_depth(png_, info_); }
  int color_type() const { return png_get_color_type(png_, info_); }

  ImageMode Mode() const {
    switch (color_type()) {
      case PNG_COLOR_TYPE_GRAY:
        return bit_depth() == 1 ? ImageMode::k1 : ImageMode::kL;
      case PNG_COLOR_TYPE_GRAY_ALPHA:
        return ImageMode::kLA;
      case PNG_COLOR_TYPE_PALETTE:
        return ImageMode::kP;
      case PNG_COLOR_TYPE_RGB_ALPHA:
        return ImageMode::kRGBA;
      default:
        return ImageMode::kRGB;
    }
  }

  absl::string_view unread_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  int passes_ = 1;
  int64_t bits_in_file_ = 0;  // of a pixel
  bool in_last_row_ = false;
  int64_t left_for_last_row_ = 0;  // bytes that it may read
  ImageMode mode_ = ImageMode::kRGB;
  char reason_[128] = "out of memory";
};

// What can be said before libpng looks at the file.
absl::Status CheckHeader(absl::string_view bytes, const DecodeRun& run) {
  if (bytes.size() < kSignatureAndIhdr) {
    return DamagedImage("PNG", "the file ends early");
  }
  // libpng would skip other chunks in front of it, and the size below would not
  // be the image's.
  if (bytes.substr(12, 4) != "IHDR") {
    return DamagedImage("PNG", "its first chunk is not its header");
  }
  return run.CheckSize(BigEndian32(&bytes[16]), BigEndian32(&bytes[20]));
}

absl::Status WhyNotRead(const PngReader& reader, const DecodeRun& run) {
  return run.stopped().ok() ? DamagedImage("PNG", reader.reason())
                            : run.stopped();
}

absl::StatusOr<Image> ReadImage(PngReader* reader, DecodeRun* run) {
  const int width = reader->width(), height = reader->height();
  absl::Status begun = run->Begin(
      width, height,
      reader->BytesForReading() +
          run->ImageBytes(width, height, ChannelsOf(reader->mode())));
  if (!begun.ok()) return begun;
  if (!reader->Start()) return DamagedImage("PNG", reader->reason());
  Image image = NewImage(reader->mode(), width, height);
  if (!reader->ReadPixels(image.pixels.data(), run)) {
    return WhyNotRead(*reader, *run);
  }
  if (image.mode == ImageMode::kP) image.palette = reader->ReadPalette();
  return image;
}

}  // namespace

absl::StatusOr<Image> DecodePng(absl::string_view bytes, DecodeRun* run) {
  absl::Status header = CheckHeader(bytes, *run);
  if (!header.ok()) return header;
  PngReader reader(bytes);
  if (!reader.ReadHeader()) return DamagedImage("PNG", reader.reason());
  return ReadImage(&reader, run);
}

absl::StatusOr<std::vector<uint8_t>> CropPng(absl::string_view bytes,
                                             CropShape shape, DecodeRun* run) {
  absl::Status header = CheckHeader(bytes, *run);
  if (!header.ok()) return header;
  PngReader reader(bytes);
  if (!reader.ReadHeader()) return DamagedImage("PNG", reader.reason());
  if (reader.interlaced()) {
    const absl::StatusOr<Image> image = ReadImage(&reader, run);
    if (!image.ok()) return image.status();
    return CropImage(*image, shape, run);
  }
  const int width = reader.width(), height = reader.height();
  absl::Status begun =
      run->Begin(width, height,
                 reader.BytesForReading() +
                     RowCropper::BytesFor(reader.mode(), width, height, shape));
  if (!begun.ok()) return begun;
  if (!reader.Start()) return DamagedImage("PNG", reader.reason());
  RowCropper cropper(reader.mode(), width, height, shape);
  if (!reader.ReadRows(&cropper, run)) return WhyNotRead(reader, *run);
  std::vector<uint8_t> crop = cropper.Finish(
      reader.mode() == ImageMode::kP ? reader.ReadPalette() : Palette());
  run->timing.crop += cropper.took();
  return crop;
}

}  // namespace clip
