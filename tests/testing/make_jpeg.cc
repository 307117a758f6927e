#include "tests/testing/make_jpeg.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <random>

// jpeglib.h needs the headers above before it.
#include <jpeglib.h>

namespace testing_images {

std::string MakeJpeg(const std::vector<uint8_t>& pixels, int width, int height,
                     const JpegOptions& options) {
  jpeg_compress_struct compress = {};
  jpeg_error_mgr errors = {};
  compress.err = jpeg_std_error(&errors);  // ends the test on an error
  jpeg_create_compress(&compress);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&compress, &bytes, &size);
  compress.image_width = width;
  compress.image_height = height;
  compress.input_components = options.channels;
  compress.in_color_space = options.channels == 1   ? JCS_GRAYSCALE
                            : options.channels == 3 ? JCS_RGB
                                                    : JCS_CMYK;
  jpeg_set_defaults(&compress);
  jpeg_set_quality(&compress, options.quality, TRUE);
  for (size_t c = 0; c < options.sampling.size(); ++c) {
    compress.comp_info[c].h_samp_factor = options.sampling[c][0];
    compress.comp_info[c].v_samp_factor = options.sampling[c][1];
  }
  compress.restart_interval = options.restart_interval;
  if (options.progressive) jpeg_simple_progression(&compress);
  compress.arith_code = options.arithmetic ? TRUE : FALSE;
  jpeg_start_compress(&compress, TRUE);
  const size_t stride = size_t{1} * width * options.channels;
  while (compress.next_scanline < compress.image_height) {
    auto* row = const_cast<JSAMPROW>(&pixels[compress.next_scanline * stride]);
    jpeg_write_scanlines(&compress, &row, 1);
  }
  jpeg_finish_compress(&compress);
  jpeg_destroy_compress(&compress);
  std::string file(reinterpret_cast<const char*>(bytes), size);
  std::free(bytes);
  return file;
}

std::vector<uint8_t> MakePixels(int width, int height, int channels,
                                uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> wave(0.0f, 0.2f);
  std::vector<float> across(channels), down(channels);
  for (int c = 0; c < channels; ++c) {
    across[c] = wave(random);
    down[c] = wave(random);
  }
  std::vector<uint8_t> pixels;
  pixels.reserve(size_t{1} * width * height * channels);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int noise = random() % 32;
      for (int c = 0; c < channels; ++c) {
        const float value = std::sin(x * across[c]) + std::sin(y * down[c]);
        const float pixel = 112 + 55 * value + noise - 16;
        pixels.push_back(static_cast<uint8_t>(std::clamp(pixel, 0.f, 255.f)));
      }
    }
  }
  return pixels;
}

}  // namespace testing_images
