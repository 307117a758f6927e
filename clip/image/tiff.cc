// TIFF's first page, brought to the modes that Pillow's TiffImagePlugin gives:
// extra samples that are no alpha are left out, of 16-bit samples the high byte
// is kept, and colours that were multiplied by alpha are divided again. The
// orientation is always applied, because Pillow does so while it loads.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "clip/image/codecs.h"
#include "clip/image/row_cropper.h"
#include "clip/image/tiff_page.h"
#include "clip/image/tiff_strips.h"

namespace clip {
namespace {

struct Layout {
  ImageMode mode = ImageMode::kL;
  bool inverted = false;       // white is zero
  bool premultiplied = false;  // by alpha
};

std::optional<ImageMode> ModeOfColours(const TiffPage& page, bool has_alpha) {
  switch (page.photometric) {
    case kTiffWhiteIsZero:
    case kTiffBlackIsZero:
      if (has_alpha) return ImageMode::kLA;
      return page.bits == 1 ? ImageMode::k1 : ImageMode::kL;
    case kTiffRgb:
      return has_alpha ? ImageMode::kRGBA : ImageMode::kRGB;
    case kTiffYcbcr:
      return ImageMode::kRGB;  // libjpeg makes it
    case kTiffPalette:
      if (has_alpha) return std::nullopt;
      return ImageMode::kP;
    case kTiffSeparated:
      if (has_alpha) return std::nullopt;
      return ImageMode::kCMYK;
  }
  return std::nullopt;  // CIE L*a*b*, colour filter arrays and others
}

int ColoursOf(const TiffPage& page) {
  switch (page.photometric) {
    case kTiffRgb:
    case kTiffYcbcr:
      return 3;
    case kTiffSeparated:
      return 4;
    default:
      return 1;
  }
}

absl::StatusOr<Layout> LayoutOf(const TiffPage& page) {
  const int more = page.samples - ColoursOf(page);
  constexpr int kUnspecified = 0, kPremultiplied = 1, kAlpha = 2,
                kCorelAlpha = 999;
  const int first = !page.extra_samples.empty() ? page.extra_samples[0]
                    : page.photometric == kTiffRgb && more == 1
                        ? kAlpha  // some writers do not say it
                        : kUnspecified;
  const bool has_alpha = more > 0 && (first == kPremultiplied ||
                                      first == kAlpha || first == kCorelAlpha);
  Layout layout;
  const std::optional<ImageMode> mode = ModeOfColours(page, has_alpha);
  layout.premultiplied = has_alpha && first == kPremultiplied;
  layout.inverted = page.photometric == kTiffWhiteIsZero;
  if (!mode.has_value() || more < 0 || (page.samples > 1 && page.bits < 8) ||
      (layout.premultiplied && *mode == ImageMode::kLA)) {
    return base::WithReason(
        absl::InvalidArgumentError(absl::StrCat(
            "image is a TIFF file of a kind that is not read (photometric "
            "interpretation ",
            static_cast<int>(page.photometric), ", ", page.samples,
            " samples a pixel of ", page.bits, " bits, extra samples of kind ",
            first, "): send grey, a palette, RGB or CMYK of 8 bits a sample")),
        base::kImageNotSupported);
  }
  layout.mode = *mode;
  return layout;
}

// Rows of a page, top to bottom. Thread rule: use from one thread.
class TiffReader {
 public:
  // Borrows all of them.
  TiffReader(absl::string_view bytes, const TiffPage& page,
             const Layout& layout, DecodeRun* run)
      : bytes_(bytes),
        page_(page),
        layout_(layout),
        run_(run),
        channels_(ChannelsOf(layout.mode)),
        planes_(page.planar ? std::min(channels_, page.planes()) : 1) {}

  // What reading takes beside the image, within a few per cent.
  int64_t BytesForReading() const {
    const int64_t pieces = static_cast<int64_t>(page_.pieces.size());
    int64_t bytes = pieces * sizeof(TiffPage::Piece) + page_.piece_row_bytes();
    if (page_.tiled) {
      return bytes + TiffStrips::BytesFor(page_, 1) +
             int64_t{page_.piece_height} * page_.width * channels_;
    }
    return bytes + planes_ * TiffStrips::BytesFor(page_, page_.down);
  }

  // The next one, [width, channels]. False: damaged, or the run was stopped.
  bool Next(uint8_t* row) {
    if (!run_->Continue(page_.width)) return false;
    if (page_.tiled ? !NextOfTiles(row) : !NextOfStrips(row)) return false;
    ++y_;
    Finish(row);
    return true;
  }

  absl::Status WhyNot() const {
    return run_->stopped().ok() ? DamagedImage("TIFF", reason_)
                                : run_->stopped();
  }

 private:
  bool NextOfStrips(uint8_t* row) {
    if (strips_.empty()) {
      for (int plane = 0; plane < planes_; ++plane) {
        strips_.push_back(std::make_unique<TiffStrips>(
            bytes_, page_, page_.width, page_.height, page_.piece_height,
            &page_.piece(plane, 0, 0), page_.down));
      }
      packed_.resize(page_.piece_row_bytes());
    }
    if (y_ % page_.piece_height == 0 && !run_->Continue(kPixelsOfAPiece))
      return false;
    for (int plane = 0; plane < planes_; ++plane) {
      if (!ReadPacked(strips_[plane].get())) return false;
      Unpack(plane, page_.width, row);
    }
    return true;
  }

  bool NextOfTiles(uint8_t* row) {
    const int y = y_ % page_.piece_height;
    const size_t stride = size_t{1} * page_.width * channels_;
    if (y == 0) {
      band_.resize(page_.piece_height * stride);
      packed_.resize(page_.piece_row_bytes());
      for (int plane = 0; plane < planes_; ++plane) {
        for (int x = 0; x < page_.across; ++x) {
          if (!ReadTile(plane, x)) return false;
        }
      }
    }
    std::copy_n(&band_[y * stride], stride, row);
    return true;
  }

  // Of the rows of tiles that begins at y_, into the band.
  bool ReadTile(int plane, int x) {
    if (!run_->Continue(kPixelsOfAPiece)) return false;
    const int left = x * page_.piece_width;
    const int width = std::min(page_.piece_width, page_.width - left);
    const int rows = std::min(page_.piece_height, page_.height - y_);
    TiffStrips tile(bytes_, page_, page_.piece_width, page_.piece_height,
                    page_.piece_height,
                    &page_.piece(plane, y_ / page_.piece_height, x), 1);
    for (int row = 0; row < rows; ++row) {
      if (!run_->Continue(page_.piece_width) || !ReadPacked(&tile))
        return false;
      Unpack(plane, width,
             &band_[(size_t{1} * row * page_.width + left) * channels_]);
    }
    return true;
  }

  bool ReadPacked(TiffStrips* strips) {
    if (strips->Read(packed_.data())) return true;
    reason_ = strips->reason();
    return false;
  }

  // The packed samples of a plane, to where `out` has them.
  void Unpack(int plane, int width, uint8_t* out) const {
    const uint8_t* from = packed_.data();
    if (page_.bits < 8) {  // of one sample
      const int bits = page_.bits, per_byte = 8 / bits, most = (1 << bits) - 1;
      const int scale = layout_.mode == ImageMode::kP ? 1 : 255 / most;
      for (int x = 0; x < width; ++x) {
        const int shift = 8 - bits * (x % per_byte + 1);
        out[x] =
            static_cast<uint8_t>((from[x / per_byte] >> shift & most) * scale);
      }
      return;
    }
    const int size = page_.bits / 8;
    // This machine is little-endian: the high byte comes last.
    from += size - 1;
    if (page_.planar) {
      for (int x = 0; x < width; ++x, from += size)
        out[x * channels_ + plane] = *from;
      return;
    }
    const int step = page_.samples * size;
    for (int x = 0; x < width; ++x, from += step) {
      for (int c = 0; c < channels_; ++c) *out++ = from[c * size];
    }
  }

  void Finish(uint8_t* row) const {
    if (layout_.inverted) {
      for (int x = 0; x < page_.width; ++x)
        row[x * channels_] = static_cast<uint8_t>(~row[x * channels_]);
    }
    if (!layout_.premultiplied) return;
    for (int x = 0; x < page_.width; ++x, row += channels_) {
      const int alpha = row[channels_ - 1];
      for (int c = 0; c + 1 < channels_; ++c) {
        row[c] =
            alpha == 0
                ? uint8_t{0}
                : static_cast<uint8_t>(std::min(row[c] * 255 / alpha, 255));
      }
    }
  }

  // What opening a tile, or starting a strip, costs like.
  static constexpr int kPixelsOfAPiece = 2'000;

  const absl::string_view bytes_;
  const TiffPage& page_;
  const Layout layout_;
  DecodeRun* const run_;
  const int channels_;
  const int planes_;  // that are wanted
  int y_ = 0;
  std::vector<std::unique_ptr<TiffStrips>> strips_;  // of each plane
  std::vector<uint8_t> packed_;                      // a row of a piece
  // A row of tiles, [piece_height, width, channels]. Setting a large one to
  // zero would take long with nobody looking at the caller.
  std::vector<uint8_t, Uninitialized<uint8_t>> band_;
  std::string reason_;
};

}  // namespace

absl::StatusOr<Image> DecodeTiff(absl::string_view bytes, DecodeRun* run) {
  absl::StatusOr<TiffPage> page = ReadTiffPage(bytes, *run);
  if (!page.ok()) return page.status();
  const absl::StatusOr<Layout> layout = LayoutOf(*page);
  if (!layout.ok()) return layout.status();
  TiffReader reader(bytes, *page, *layout, run);
  absl::Status begun = run->Begin(
      page->width, page->height,
      reader.BytesForReading() +
          run->ImageBytes(page->width, page->height, ChannelsOf(layout->mode)));
  if (!begun.ok()) return begun;
  Image image = NewImage(layout->mode, page->width, page->height);
  const size_t stride = size_t{1} * image.width * image.channels;
  for (int y = 0; y < image.height; ++y) {
    if (!reader.Next(&image.pixels[y * stride])) return reader.WhyNot();
  }
  image.palette = std::move(page->palette);
  return image;
}

absl::StatusOr<std::vector<uint8_t>> CropTiff(absl::string_view bytes,
                                              CropShape shape, DecodeRun* run) {
  const absl::StatusOr<TiffPage> page = ReadTiffPage(bytes, *run);
  if (!page.ok()) return page.status();
  const absl::StatusOr<Layout> layout = LayoutOf(*page);
  if (!layout.ok()) return layout.status();
  TiffReader reader(bytes, *page, *layout, run);
  absl::Status begun = run->Begin(
      page->width, page->height,
      reader.BytesForReading() +
          RowCropper::BytesFor(layout->mode, page->width, page->height, shape));
  if (!begun.ok()) return begun;
  RowCropper cropper(layout->mode, page->width, page->height, shape);
  for (int y = 0; y < page->height; ++y) {
    if (!reader.Next(cropper.row())) return reader.WhyNot();
    cropper.RowDone();
  }
  std::vector<uint8_t> crop = cropper.Finish(page->palette);
  run->timing.crop += cropper.took();
  return crop;
}

}  // namespace clip
