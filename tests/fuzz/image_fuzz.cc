// Decoding and cropping: the file as it came. The row-by-row way and the two
// steps must agree, on pixels and on refusals.
#include <vector>

#include "clip/image.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view file = fuzz::View(data, size);
  const int crop_size = 1 + static_cast<int>(size % 61);
  clip::DecodeOptions options;
  options.max_pixels = 100'000;
  options.apply_exif_orientation = size % 2 == 0;

  const absl::StatusOr<clip::Image> image = clip::DecodeImage(file, options);
  const auto crop = clip::DecodeAndCrop(file, crop_size, options);
  FUZZ_CHECK(image.ok() == crop.ok());
  if (image.ok()) {
    FUZZ_CHECK(int64_t{image->width} * image->height <= options.max_pixels);
    FUZZ_CHECK(clip::CropForModel(*image, crop_size) == *crop);
  } else {
    fuzz::CheckRefusal(image.status());
    fuzz::CheckRefusal(crop.status());
  }

  options.fast = true;
  const auto quick = clip::DecodeAndCrop(file, crop_size, options);
  FUZZ_CHECK(quick.ok() == crop.ok());
  if (quick.ok()) FUZZ_CHECK(quick->size() == crop->size());
  return 0;
}
