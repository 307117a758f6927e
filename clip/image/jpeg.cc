// JPEG through libjpeg-turbo with its default (accurate) transform and
// upsampling, which are Pillow's settings too.
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

// jpeglib.h needs FILE and size_t declared before it, jerror.h needs jpeglib.h.
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include "absl/strings/str_cat.h"
#include "clip/image/codecs.h"

namespace clip {
namespace {

// Every scan of a progressive file walks over all of its blocks, so a small
// file with thousands of empty scans would take minutes. Encoders write about
// ten.
constexpr int kMaxScans = 100;

// libjpeg warns and fills in grey where it cannot go on. These warnings mean
// that pixels were lost; others (stray bytes between segments, say) do not.
bool MeansLostPixels(int warning) {
  switch (warning) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
      return true;
    default:
      return false;
  }
}

class JpegReader {
 public:
  JpegReader() {
    decompress_.err = jpeg_std_error(&errors_);
    decompress_.client_data = this;
    errors_.error_exit = [](j_common_ptr common) {
      auto* reader = static_cast<JpegReader*>(common->client_data);
      common->err->format_message(common, reader->reason_);
      std::longjmp(reader->jump_, 1);
    };
    errors_.emit_message = [](j_common_ptr common, int level) {
      if (level < 0 && MeansLostPixels(common->err->msg_code)) {
        common->err->error_exit(common);
      }
    };
    errors_.output_message = [](j_common_ptr) {};
    progress_.progress_monitor = [](j_common_ptr common) {
      auto* reader = static_cast<JpegReader*>(common->client_data);
      if (reader->decompress_.input_scan_number <= kMaxScans) return;
      std::snprintf(reader->reason_, sizeof(reader->reason_),
                    "more than %d scans", kMaxScans);
      std::longjmp(reader->jump_, 1);
    };
  }

  ~JpegReader() { jpeg_destroy_decompress(&decompress_); }

  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  // The steps; each returns false on failure, reason() says why then.
  bool ReadHeader(absl::string_view bytes) {
    if (setjmp(jump_)) return false;
    jpeg_create_decompress(&decompress_);
    decompress_.progress = &progress_;
    jpeg_mem_src(&decompress_,
                 reinterpret_cast<const unsigned char*>(bytes.data()),
                 bytes.size());
    jpeg_read_header(&decompress_, TRUE);
    return true;
  }

  bool ReadPixels(J_COLOR_SPACE color_space, uint8_t* pixels, size_t stride) {
    if (setjmp(jump_)) return false;
    decompress_.out_color_space = color_space;
    jpeg_start_decompress(&decompress_);
    while (decompress_.output_scanline < decompress_.output_height) {
      JSAMPROW rows[kRowsAtOnce];
      const JDIMENSION y = decompress_.output_scanline;
      JDIMENSION count = 0;
      while (count < kRowsAtOnce && y + count < decompress_.output_height) {
        rows[count] = pixels + (y + count) * stride;
        ++count;
      }
      jpeg_read_scanlines(&decompress_, rows, count);
    }
    return true;
  }

  int width() const { return decompress_.image_width; }
  int height() const { return decompress_.image_height; }
  int components() const { return decompress_.num_components; }
  const char* reason() const { return reason_; }

 private:
  static constexpr JDIMENSION kRowsAtOnce = 8;

  jpeg_decompress_struct decompress_ = {};
  jpeg_error_mgr errors_ = {};
  jpeg_progress_mgr progress_ = {};
  std::jmp_buf jump_;
  char reason_[JMSG_LENGTH_MAX] = "";
};

}  // namespace

absl::StatusOr<Image> DecodeJpeg(absl::string_view bytes, int64_t max_pixels) {
  JpegReader reader;
  if (!reader.ReadHeader(bytes)) return DamagedImage("JPEG", reader.reason());
  if (absl::Status size =
          CheckImageSize(reader.width(), reader.height(), max_pixels);
      !size.ok()) {
    return size;
  }
  ImageMode mode;
  J_COLOR_SPACE color_space;
  switch (reader.components()) {
    case 1:
      mode = ImageMode::kL;
      color_space = JCS_GRAYSCALE;
      break;
    case 3:
      mode = ImageMode::kRGB;
      color_space = JCS_RGB;
      break;
    case 4:
      mode = ImageMode::kCMYK;
      color_space = JCS_CMYK;
      break;
    default:
      return DamagedImage(
          "JPEG", absl::StrCat(reader.components(),
                               " colour components; 1, 3 and 4 are allowed"));
  }
  Image image = NewImage(mode, reader.width(), reader.height());
  const size_t stride = size_t{1} * image.width * image.channels;
  if (!reader.ReadPixels(color_space, image.pixels.data(), stride)) {
    return DamagedImage("JPEG", reader.reason());
  }
  if (mode == ImageMode::kCMYK) {
    // Adobe stores ink inverted, and Pillow takes every 4-component file for
    // one of Adobe's.
    for (uint8_t& ink : image.pixels) ink = 255 - ink;
  }
  return image;
}

}  // namespace clip
