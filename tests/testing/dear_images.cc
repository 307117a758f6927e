#include "tests/testing/dear_images.h"

#include <jpeglib.h>
#include <webp/encode.h>
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace testing_images {
namespace {

std::string LittleEndian(uint64_t value, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

std::string BigEndian(uint32_t value) {
  std::string bytes = LittleEndian(value, 4);
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

std::string RiffChunk(const std::string& kind, const std::string& data) {
  return kind + LittleEndian(data.size(), 4) + data +
         std::string(data.size() % 2, '\0');
}

std::string Riff(const std::string& chunks) {
  return "RIFF" + LittleEndian(chunks.size() + 4, 4) + "WEBP" + chunks;
}

class BitWriter {
 public:
  void Put(uint32_t value, int count) {
    for (int i = 0; i < count; ++i, ++size_) {
      if (size_ % 8 == 0) bytes_ += '\0';
      bytes_.back() |= static_cast<char>((value >> i & 1) << (size_ % 8));
    }
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
  int size_ = 0;
};

// Five codes of one word each, which takes no bits.
std::string FlatVp8l(int width, int height) {
  BitWriter bits;
  bits.Put(0x2f, 8);
  bits.Put(width - 1, 14);
  bits.Put(height - 1, 14);
  bits.Put(0, 1 + 3);      // no alpha, version 0
  bits.Put(0, 1 + 1 + 1);  // no transform, no cache, one group of codes
  for (const int symbol : {200, 10, 30, 255, 0}) {
    bits.Put(1, 1);  // a simple code
    bits.Put(0, 1);  // of one symbol
    bits.Put(1, 1);  // of eight bits
    bits.Put(symbol, 8);
  }
  return bits.bytes();
}

std::string PngChunk(const std::string& kind, const std::string& data) {
  const std::string checked = kind + data;
  return BigEndian(static_cast<uint32_t>(data.size())) + checked +
         BigEndian(static_cast<uint32_t>(
             crc32_z(0, reinterpret_cast<const Bytef*>(checked.data()),
                     checked.size())));
}

// So many zeros, packed.
std::string PackedZeros(int64_t count) {
  static Bytef zeros[1 << 16];
  z_stream stream = {};
  if (deflateInit(&stream, 9) != Z_OK) std::abort();
  std::string packed;
  Bytef out[1 << 16];
  do {
    stream.next_in = zeros;
    stream.avail_in =
        static_cast<uInt>(std::min<int64_t>(count, sizeof(zeros)));
    count -= stream.avail_in;
    do {
      stream.next_out = out;
      stream.avail_out = sizeof(out);
      deflate(&stream, count > 0 ? Z_NO_FLUSH : Z_FINISH);
      packed.append(reinterpret_cast<char*>(out),
                    sizeof(out) - stream.avail_out);
    } while (stream.avail_out == 0);
  } while (count > 0);
  deflateEnd(&stream);
  return packed;
}

}  // namespace

std::string FlatLosslessWebp(int width, int height) {
  return Riff(RiffChunk("VP8L", FlatVp8l(width, height)));
}

std::string FlatAnimatedWebp(int canvas_width, int canvas_height, int width,
                             int height) {
  const std::string size =
      LittleEndian(canvas_width - 1, 3) + LittleEndian(canvas_height - 1, 3);
  const std::string frame = LittleEndian(0, 6) + LittleEndian(width - 1, 3) +
                            LittleEndian(height - 1, 3) + LittleEndian(100, 3) +
                            LittleEndian(0, 1) +
                            RiffChunk("VP8L", FlatVp8l(width, height));
  return Riff(RiffChunk("VP8X", LittleEndian(2, 4) + size) +
              RiffChunk("ANIM", LittleEndian(0, 6)) + RiffChunk("ANMF", frame));
}

std::string FlatLossyWebp(int width, int height) {
  // One row of pixels for all: with a stride of 0.
  const std::vector<uint8_t> row(size_t{3} * width, 100);
  WebPConfig config;
  WebPPicture picture;
  if (!WebPConfigPreset(&config, WEBP_PRESET_DEFAULT, 50) ||
      !WebPPictureInit(&picture)) {
    std::abort();
  }
  config.method = 0;
  picture.width = width;
  picture.height = height;
  WebPMemoryWriter writer;
  WebPMemoryWriterInit(&writer);
  picture.writer = WebPMemoryWrite;
  picture.custom_ptr = &writer;
  if (!WebPPictureAlloc(&picture)) std::abort();
  std::fill_n(picture.y, size_t{1} * picture.y_stride * height, 100);
  std::fill_n(picture.u, size_t{1} * picture.uv_stride * ((height + 1) / 2),
              128);
  std::fill_n(picture.v, size_t{1} * picture.uv_stride * ((height + 1) / 2),
              128);
  if (!WebPEncode(&config, &picture)) std::abort();
  std::string file(reinterpret_cast<char*>(writer.mem), writer.size);
  WebPPictureFree(&picture);
  WebPMemoryWriterClear(&writer);
  return file;
}

std::string FlatPng(int width, int height, int depth, int color_type,
                    int64_t more) {
  const int channels = color_type == 6 ? 4 : color_type == 2 ? 3 : 1;
  const int64_t row = 1 + (int64_t{width} * depth * channels + 7) / 8;
  const char rest[] = {static_cast<char>(depth), static_cast<char>(color_type),
                       0, 0, 0};
  return "\x89PNG\r\n\x1a\n" +
         PngChunk("IHDR", BigEndian(width) + BigEndian(height) +
                              std::string(rest, sizeof(rest))) +
         PngChunk("IDAT", PackedZeros(row * height + more)) +
         PngChunk("IEND", "");
}

std::string FlatJpeg(int width, int height, bool progressive) {
  jpeg_compress_struct compress = {};
  jpeg_error_mgr errors = {};
  compress.err = jpeg_std_error(&errors);
  jpeg_create_compress(&compress);
  unsigned char* out = nullptr;
  unsigned long size = 0;  // NOLINT: libjpeg's type
  jpeg_mem_dest(&compress, &out, &size);
  compress.image_width = width;
  compress.image_height = height;
  compress.input_components = 3;
  compress.in_color_space = JCS_RGB;
  jpeg_set_defaults(&compress);
  if (progressive) jpeg_simple_progression(&compress);
  jpeg_start_compress(&compress, TRUE);
  std::vector<uint8_t> row(size_t{3} * width, 77);
  JSAMPROW rows = row.data();
  for (int y = 0; y < height; ++y) jpeg_write_scanlines(&compress, &rows, 1);
  jpeg_finish_compress(&compress);
  jpeg_destroy_compress(&compress);
  std::string file(reinterpret_cast<char*>(out), size);
  std::free(out);
  return file;
}

const std::vector<DearImage>& DearImages() {
  static const auto* const images = new std::vector<DearImage>{
      {"lossless WebP of 10,000 x 10,000",
       FlatLosslessWebp(kDearSide, kDearSide)},
      {"animated WebP of 10,000 x 10,000",
       FlatAnimatedWebp(kDearSide, kDearSide, kDearSide, kDearSide)},
      {"animated WebP of a pixel on a canvas of 10,000 x 10,000",
       FlatAnimatedWebp(kDearSide, kDearSide, 1, 1)},
      {"lossy WebP of 10,000 x 10,000", FlatLossyWebp(kDearSide, kDearSide)},
      {"grey PNG of 11,000 x 11,000",
       FlatPng(kDearSide * 11 / 10, kDearSide * 11 / 10, 8, 0)},
      {"PNG of 16 bits and four channels",
       FlatPng(kDearSide / 2, kDearSide / 2, 16, 6)},
      {"PNG of one column", FlatPng(1, 1'000'000, 8, 2)},
      {"JPEG of a phone, 12,000 x 9,000",
       FlatJpeg(kDearSide * 6 / 5, kDearSide * 9 / 10, false)},
      {"progressive JPEG of 12,000 x 9,000",
       FlatJpeg(kDearSide * 6 / 5, kDearSide * 9 / 10, true)},
      {"JPEG of one row", FlatJpeg(65'500, 1, false)},
  };
  return *images;
}

}  // namespace testing_images
