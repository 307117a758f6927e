#include "tests/testing/make_png.h"

#include <png.h>

#include <cstdlib>
#include <random>
#include <vector>

namespace testing_images {

std::string MakePng(uint32_t seed, int width, int height) {
  std::mt19937 random(seed);
  std::vector<uint8_t> pixels(static_cast<size_t>(width) * height * 3);
  for (uint8_t& value : pixels) value = static_cast<uint8_t>(random());
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = height;
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string file(size, '\0');
  if (!png_image_write_to_memory(&image, file.data(), &size, 0, pixels.data(),
                                 0, nullptr)) {
    std::abort();
  }
  file.resize(size);
  return file;
}

}  // namespace testing_images
