// JPEG files of any kind, for tests.
#ifndef ZEROSHOT_TESTS_TESTING_MAKE_JPEG_H_
#define ZEROSHOT_TESTS_TESTING_MAKE_JPEG_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace testing_images {

struct JpegOptions {
  int channels = 3;  // 1: grey, 3: RGB, 4: CMYK
  int quality = 90;
  // Of each component, in samples of a block: {1, 1} throughout is 4:4:4.
  std::vector<std::array<int, 2>> sampling;  // empty: libjpeg's choice
  int restart_interval = 0;                  // in blocks
  bool progressive = false;
  bool arithmetic = false;
};

// The pixels [height, width, channels] as a JPEG file.
std::string MakeJpeg(const std::vector<uint8_t>& pixels, int width, int height,
                     const JpegOptions& options = {});

// A smooth image with some noise, different for each seed.
std::vector<uint8_t> MakePixels(int width, int height, int channels,
                                uint32_t seed);

}  // namespace testing_images

#endif  // ZEROSHOT_TESTS_TESTING_MAKE_JPEG_H_
