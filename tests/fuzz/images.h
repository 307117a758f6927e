// What the fuzzers of images hold of every file: the row-by-row way and the two
// steps agree, on pixels and on refusals, and all of the budget is given back.
#ifndef ZEROSHOT_TESTS_FUZZ_IMAGES_H_
#define ZEROSHOT_TESTS_FUZZ_IMAGES_H_

#include <cstdint>

#include "clip/image.h"
#include "tests/fuzz/fuzz.h"

namespace fuzz {

// Returns the decoded image, not turned by an option where the file's size is
// odd.
inline absl::StatusOr<clip::Image> CheckImage(absl::string_view file,
                                              clip::ImageFormats formats) {
  const int crop_size = 1 + static_cast<int>(file.size() % 61);
  clip::DecodeOptions options;
  options.formats = formats;
  options.max_pixels = 100'000;
  options.apply_exif_orientation = file.size() % 2 == 0;
  static auto* const budget =
      new clip::DecodeBudget({.bytes = int64_t{1} << 30, .at_once = 1});
  options.budget = budget;

  absl::StatusOr<clip::Image> image = clip::DecodeImage(file, options);
  const auto crop = clip::DecodeAndCrop(file, crop_size, options);
  FUZZ_CHECK(image.ok() == crop.ok());
  FUZZ_CHECK(budget->stats().bytes == 0);
  if (image.ok()) {
    FUZZ_CHECK(int64_t{image->width} * image->height <= options.max_pixels);
    FUZZ_CHECK(clip::CropForModel(*image, crop_size) == *crop);
  } else {
    CheckRefusal(image.status());
    CheckRefusal(crop.status());
  }

  options.fast = true;
  const auto quick = clip::DecodeAndCrop(file, crop_size, options);
  FUZZ_CHECK(quick.ok() == crop.ok());
  if (quick.ok()) FUZZ_CHECK(quick->size() == crop->size());
  return image;
}

}  // namespace fuzz

#endif  // ZEROSHOT_TESTS_FUZZ_IMAGES_H_
