// JPEG through libjpeg-turbo with its default (accurate) transform and
// upsampling, which are Pillow's settings too.
#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

// jpeglib.h needs FILE and size_t declared before it, jerror.h needs jpeglib.h.
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include "absl/strings/str_cat.h"
#include "base/monotonic.h"
#include "clip/image/codecs.h"
#include "clip/image/crop_stream.h"
#include "clip/image/jpeg_losses.h"
#include "clip/image/row_cropper.h"

namespace clip {
namespace {

// Every scan of a progressive file walks over all of its blocks, so a small
// file with thousands of empty scans would take minutes. Encoders write about
// ten. Large images, for which each costs the more, may have fewer.
constexpr int kMaxScans = 100;
constexpr int kMaxScansOfLargest = 20;
constexpr int64_t kMaxPixelsOfScans = 2'000'000'000;

constexpr int kRowsAtOnce = 16;

class JpegReader {
 public:
  // Borrows the run: a step that it stops fails.
  explicit JpegReader(DecodeRun* run) : run_(run) {
    decompress_.err = jpeg_std_error(&errors_);
    decompress_.client_data = this;
    errors_.error_exit = [](j_common_ptr common) {
      auto* reader = static_cast<JpegReader*>(common->client_data);
      common->err->format_message(common, reader->reason_);
      std::longjmp(reader->jump_, 1);
    };
    errors_.emit_message = [](j_common_ptr common, int level) {
      auto* reader = static_cast<JpegReader*>(common->client_data);
      if (level < 0 && reader->losses_.MeansLoss(reader->decompress_)) {
        common->err->error_exit(common);
      }
    };
    errors_.output_message = [](j_common_ptr) {};
    // Called for each row of blocks of each scan while Start reads the scans.
    progress_.progress_monitor = [](j_common_ptr common) {
      auto* reader = static_cast<JpegReader*>(common->client_data);
      if (reader->decompress_.input_scan_number > reader->max_scans_) {
        std::snprintf(reader->reason_, sizeof(reader->reason_),
                      "more than %d scans", reader->max_scans_);
        std::longjmp(reader->jump_, 1);
      }
      const int64_t pixels = int64_t{reader->width()} * reader->block_lines();
      if (!reader->run_->Continue(pixels)) std::longjmp(reader->jump_, 1);
    };
  }

  ~JpegReader() { jpeg_destroy_decompress(&decompress_); }

  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  // The steps; each returns false on failure, reason() says why then.
  bool ReadHeader(absl::string_view bytes) {
    if (setjmp(jump_)) return false;
    jpeg_create_decompress(&decompress_);
    losses_ = JpegLosses(bytes);
    jpeg_mem_src(&decompress_,
                 reinterpret_cast<const unsigned char*>(bytes.data()),
                 bytes.size());
    fill_at_end_ = decompress_.src->fill_input_buffer;
    decompress_.src->fill_input_buffer = [](j_decompress_ptr decompress) {
      return static_cast<JpegReader*>(decompress->client_data)->FillInput();
    };
    jpeg_read_header(&decompress_, TRUE);
    losses_.HeaderWasRead();
    return true;
  }

  // `eighths` of the size: 1, 2, 4 or 8, each with a transform of its own.
  bool Start(J_COLOR_SPACE color_space, int eighths) {
    if (setjmp(jump_)) return false;
    decompress_.out_color_space = color_space;
    decompress_.scale_num = eighths;
    decompress_.scale_denom = 8;
    max_scans_ = static_cast<int>(
        std::clamp<int64_t>(kMaxPixelsOfScans / (int64_t{width()} * height()),
                            kMaxScansOfLargest, kMaxScans));
    decompress_.progress = &progress_;
    jpeg_start_decompress(&decompress_);
    decompress_.progress = nullptr;
    if (one_scan()) return true;
    const char* missing = MissingScans(decompress_);
    std::snprintf(reason_, sizeof(reason_), "%s", missing);
    return *missing == '\0';
  }

  // Call after Start: rows are then the span of columns around `first` ...
  // `first + count - 1` that libjpeg can cut out, from *begin on; exact, but
  // at the span's ends, where upsampling misses a neighbour.
  bool NarrowTo(int first, int count, int* begin) {
    *begin = 0;
    JDIMENSION begin_at = std::max(first - kUpsamplingReach, 0);
    JDIMENSION width =
        std::min(first + count + kUpsamplingReach, row_width()) - begin_at;
    if (!one_scan() || width > decompress_.output_width / 8 * 7) return true;
    if (setjmp(jump_)) return false;
    jpeg_crop_scanline(&decompress_, &begin_at, &width);
    *begin = static_cast<int>(begin_at);
    return true;
  }

  // Goes on at row y: the rows before are read without making pixels of them,
  // and `row` is overwritten.
  bool SkipTo(int y, uint8_t* row) {
    if (setjmp(jump_)) return false;
    // Upsampling looks at the rows above.
    const int skipped = y - kRowsAbove - next_row();
    if (may_skip() && skipped > 0) Skip(skipped);
    return ReadTo(y, row);
  }

  // Reads what is left of the file, its end marker included. Its pixels do not
  // matter, damage does. A file of several scans was read by Start.
  bool SkipToEnd(uint8_t* row) {
    if (!one_scan()) return true;
    if (setjmp(jump_)) return false;
    // Skipping to the very end would not read it.
    const int left = row_count() - next_row();
    if (may_skip() && left > 1) Skip(left - 1);
    if (!ReadTo(row_count(), row)) return false;
    jpeg_finish_decompress(&decompress_);
    return true;
  }

  bool ReadRows(int count, uint8_t* const* rows) {
    if (setjmp(jump_)) return false;
    if (!run_->Continue(int64_t{count} * row_width())) return false;
    const int end = next_row() + count;
    uint8_t* const* const rows_end = rows + count;
    while (next_row() < end) {
      jpeg_read_scanlines(&decompress_,
                          const_cast<JSAMPARRAY>(rows_end - (end - next_row())),
                          end - next_row());
    }
    return true;
  }

  int width() const { return decompress_.image_width; }
  int height() const { return decompress_.image_height; }
  int components() const { return decompress_.num_components; }

  // A file of several scans is held by libjpeg as coefficients.
  bool one_scan() { return !jpeg_has_multiple_scans(&decompress_); }

  // What libjpeg takes: coefficients, and rows of blocks on their way to
  // `channels` of colour. Call after ReadHeader.
  int64_t BytesForReading(int channels) {
    int64_t rows = int64_t{width()} * channels * decompress_.max_v_samp_factor;
    int64_t coefficients = 0;
    const auto round_up = [](int64_t size, int step) {
      return (size + step - 1) / step * step;
    };
    for (int c = 0; c < components(); ++c) {
      const jpeg_component_info& plane = decompress_.comp_info[c];
      const int64_t across =
          round_up(plane.width_in_blocks, plane.h_samp_factor);
      coefficients += across * DCTSIZE2 * sizeof(JCOEF) *
                      round_up(plane.height_in_blocks, plane.v_samp_factor);
      // Upsampling wants the rows of blocks before and after as well.
      rows += 2 * across * DCTSIZE2 * plane.v_samp_factor;
    }
    return rows + (one_scan() ? 0 : coefficients);
  }
  // Of the pixels that come out; known from Start on.
  int row_width() const { return decompress_.output_width; }
  int row_count() const { return decompress_.output_height; }
  const char* reason() const { return reason_; }
  absl::Status WhyNoHeader() const { return RefusedJpeg(decompress_, reason_); }

 private:
  // Pixels that fancy upsampling of a pixel depends on, and more.
  static constexpr int kUpsamplingReach = 8;
  static constexpr int kRowsAbove = 64;  // two of the highest block rows
  static constexpr size_t kPiece = 64 << 10;
  static constexpr int64_t kPixelsOfPiece = 1'000'000;

  bool may_skip() { return one_scan() && !decompress_.arith_code; }

  // REQUIRES: the caller calls setjmp.
  bool ReadTo(int y, uint8_t* row) {
    while (next_row() < y) {
      if (!run_->Continue(row_width())) return false;
      jpeg_read_scanlines(&decompress_, &row, 1);
    }
    return true;
  }

  int next_row() const { return decompress_.output_scanline; }
  int block_lines() const { return decompress_.max_v_samp_factor * DCTSIZE; }

  // Rows that are read without making pixels of them. libjpeg does not look up
  // meanwhile, so its input comes in pieces, each of which takes some 10 ms.
  // (Rows skipped in several parts would not be the same.) REQUIRES: the caller
  // calls setjmp; one_scan(), and no arithmetic code, whose work a piece does
  // not bound.
  void Skip(int count) {
    jpeg_source_mgr* const source = decompress_.src;
    withheld_ = source->bytes_in_buffer;
    piece_end_ = source->next_input_byte;
    source->bytes_in_buffer = 0;
    NextPiece();
    jpeg_skip_scanlines(&decompress_, count);
    source->bytes_in_buffer += withheld_;
    withheld_ = 0;
  }

  void NextPiece() {
    const size_t size = std::min(withheld_, kPiece);
    decompress_.src->next_input_byte = piece_end_;
    decompress_.src->bytes_in_buffer = size;
    piece_end_ += size;
    withheld_ -= size;
  }

  boolean FillInput() {
    if (withheld_ == 0) return fill_at_end_(&decompress_);
    if (!run_->Continue(kPixelsOfPiece)) std::longjmp(jump_, 1);
    NextPiece();
    return TRUE;
  }

  DecodeRun* const run_;
  JpegLosses losses_;
  int max_scans_ = kMaxScans;  // known from Start on
  jpeg_decompress_struct decompress_ = {};
  boolean (*fill_at_end_)(j_decompress_ptr) = nullptr;  // libjpeg's own
  const JOCTET* piece_end_ = nullptr;
  size_t withheld_ = 0;  // bytes behind piece_end_ that libjpeg has not seen
  jpeg_error_mgr errors_ = {};
  jpeg_progress_mgr progress_ = {};
  std::jmp_buf jump_;
  char reason_[JMSG_LENGTH_MAX] = "";
};

// Reads the header; mode and color_space are what the pixels will be.
absl::Status Open(absl::string_view bytes, const DecodeRun& run,
                  JpegReader* reader, ImageMode* mode,
                  J_COLOR_SPACE* color_space) {
  if (!reader->ReadHeader(bytes)) return reader->WhyNoHeader();
  if (absl::Status size = run.CheckSize(reader->width(), reader->height());
      !size.ok()) {
    return size;
  }
  switch (reader->components()) {
    case 1:
      *mode = ImageMode::kL;
      *color_space = JCS_GRAYSCALE;
      break;
    case 3:
      *mode = ImageMode::kRGB;
      *color_space = JCS_RGB;
      break;
    case 4:
      *mode = ImageMode::kCMYK;
      *color_space = JCS_CMYK;
      break;
    default:
      return DamagedImage(
          "JPEG", absl::StrCat(reader->components(),
                               " colour components; 1, 3 and 4 are allowed"));
  }
  return absl::OkStatus();
}

// How far libjpeg may shrink an image of that shorter side: not below twice
// the size that it is resized to, so that the bicubic kernel still decides.
int EighthsFor(int shorter, int size) {
  int eighths = 8;
  while (eighths > 1 &&
         int64_t{shorter} * (eighths / 2) >= int64_t{16} * size) {
    eighths /= 2;
  }
  return eighths;
}

absl::Status WhyNotRead(const JpegReader& reader, const DecodeRun& run) {
  return run.stopped().ok() ? DamagedImage("JPEG", reader.reason())
                            : run.stopped();
}

// Adobe stores ink inverted, and Pillow takes every 4-component file for one
// of Adobe's.
void InvertInk(uint8_t* ink, size_t length) {
  for (size_t i = 0; i < length; ++i) ink[i] = 255 - ink[i];
}

}  // namespace

absl::StatusOr<Image> DecodeJpeg(absl::string_view bytes, DecodeRun* run) {
  JpegReader reader(run);
  ImageMode mode;
  J_COLOR_SPACE color_space;
  absl::Status opened = Open(bytes, *run, &reader, &mode, &color_space);
  if (!opened.ok()) return opened;
  const int channels = ChannelsOf(mode);
  absl::Status begun = run->Begin(
      reader.width(), reader.height(),
      reader.BytesForReading(channels) +
          run->ImageBytes(reader.width(), reader.height(), channels));
  if (!begun.ok()) return begun;
  Image image = NewImage(mode, reader.width(), reader.height());
  const size_t stride = size_t{1} * image.width * image.channels;
  bool read = reader.Start(color_space, 8);
  for (int y = 0; read && y < image.height; y += kRowsAtOnce) {
    uint8_t* rows[kRowsAtOnce];
    const int count = std::min(image.height - y, kRowsAtOnce);
    for (int r = 0; r < count; ++r) rows[r] = &image.pixels[(y + r) * stride];
    read = reader.ReadRows(count, rows);
  }
  read = read && reader.SkipToEnd(nullptr);
  if (!read) return WhyNotRead(reader, *run);
  if (mode == ImageMode::kCMYK) {
    InvertInk(image.pixels.data(), image.pixels.size());
  }
  return image;
}

absl::StatusOr<std::vector<uint8_t>> CropJpeg(absl::string_view bytes,
                                              CropShape shape, DecodeRun* run) {
  JpegReader reader(run);
  ImageMode mode;
  J_COLOR_SPACE color_space;
  absl::Status opened = Open(bytes, *run, &reader, &mode, &color_space);
  if (!opened.ok()) return opened;
  const int channels = reader.components();
  absl::Status begun = run->Begin(
      reader.width(), reader.height(),
      reader.BytesForReading(channels) +
          RowCropper::BytesFor(mode, reader.width(), reader.height(), shape));
  if (!begun.ok()) return begun;
  const int eighths =
      run->options().fast
          ? EighthsFor(std::min(reader.width(), reader.height()), shape.side)
          : 8;
  if (!reader.Start(color_space, eighths)) return WhyNotRead(reader, *run);
  absl::Time last = base::MonotonicNow();
  // What goes on between two calls is cropping, or else decoding.
  const auto cropped = [&] {
    const absl::Time now = base::MonotonicNow();
    run->timing.crop += now - last;
    last = now;
  };
  CropGeometry geometry(reader.width(), reader.height(), shape);
  if (eighths < 8) {
    geometry.ShrinkTo(reader.row_width(), reader.row_count(), eighths);
  }
  CropStream stream(mode, channels, geometry);
  cropped();
  int begin = 0;
  bool read =
      reader.NarrowTo(stream.first_column(), stream.column_count(), &begin);
  const size_t stride = size_t{1} * reader.row_width() * channels;
  std::vector<uint8_t> block(stride * CropStream::kRows);
  uint8_t* rows[CropStream::kRows];
  const uint8_t* needed[CropStream::kRows];
  for (int r = 0; r < CropStream::kRows; ++r) {
    rows[r] = &block[r * stride];
    needed[r] = rows[r] + (stream.first_column() - begin) * channels;
  }
  read = read && reader.SkipTo(stream.first_row(), rows[0]);
  for (int left = stream.row_count(); read && left > 0;) {
    const int count = std::min(left, CropStream::kRows);
    read = reader.ReadRows(count, rows);
    last = base::MonotonicNow();
    if (!read) break;
    if (mode == ImageMode::kCMYK) InvertInk(block.data(), stride * count);
    stream.Add(needed, count);
    cropped();
    left -= count;
  }
  read = read && reader.SkipToEnd(rows[0]);
  if (!read) return WhyNotRead(reader, *run);
  last = base::MonotonicNow();
  std::vector<uint8_t> crop = FinishedCrop(geometry, mode, {}, stream.Finish());
  cropped();
  return crop;
}

}  // namespace clip
