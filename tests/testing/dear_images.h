// Sound images that cost much for what they weigh: large, of one colour, or
// with data that goes on.
#ifndef ZEROSHOT_TESTS_TESTING_DEAR_IMAGES_H_
#define ZEROSHOT_TESTS_TESTING_DEAR_IMAGES_H_

#include <cstdint>
#include <string>
#include <vector>

namespace testing_images {

// Lossless WebP of one colour: some 35 bytes, whatever its size.
std::string FlatLosslessWebp(int width, int height);

// The same as the only frame of an animation on a canvas of that size.
std::string FlatAnimatedWebp(int canvas_width, int canvas_height, int width,
                             int height);

// Lossy WebP of one colour, made by libwebp.
std::string FlatLossyWebp(int width, int height);

// Zeros of that colour type (0: grey, 2: RGB, 6: RGBA) and depth, without
// interlacing. `more` is how many bytes go on after the last row.
std::string FlatPng(int width, int height, int depth, int color_type,
                    int64_t more = 0);

// Flat grey JPEG of that size, progressive or not.
std::string FlatJpeg(int width, int height, bool progressive);

struct DearImage {
  std::string name;
  std::string bytes;
};

// A sanitizer multiplies what each pixel costs, and finds with few of them what
// it finds with many.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ZEROSHOT_SMALLER_IMAGES
#endif
#endif
#ifdef ZEROSHOT_SMALLER_IMAGES
constexpr int kDearSide = 2'500;
#else
constexpr int kDearSide = 10'000;
#endif

// One of each kind, about kDearSide x kDearSide: close to the default limit on
// pixels. Made once a process, which takes seconds.
const std::vector<DearImage>& DearImages();

}  // namespace testing_images

#endif  // ZEROSHOT_TESTS_TESTING_DEAR_IMAGES_H_
