// Decoding and cropping: the file as it came. The row-by-row way and the two
// steps must agree, on pixels and on refusals; so must our reader of lossless
// WebP and libwebp's.
#include <webp/decode.h>

#include <algorithm>
#include <vector>

#include "clip/image.h"
#include "tests/fuzz/fuzz.h"

// As libwebp decodes it.
void CheckLosslessWebp(absl::string_view file,
                       const absl::StatusOr<clip::Image>& image) {
  const auto* data = reinterpret_cast<const uint8_t*>(file.data());
  WebPBitstreamFeatures features;
  constexpr int kLossless = 2;
  if (WebPGetFeatures(data, file.size(), &features) != VP8_STATUS_OK ||
      features.format != kLossless || features.has_animation ||
      int64_t{features.width} * features.height > 100'000) {
    return;
  }
  const int channels = features.has_alpha ? 4 : 3;
  std::vector<uint8_t> pixels(size_t{1} * features.width * features.height *
                              channels);
  const auto decode = channels == 4 ? WebPDecodeRGBAInto : WebPDecodeRGBInto;
  const bool sound = decode(data, file.size(), pixels.data(), pixels.size(),
                            features.width * channels) != nullptr;
  // We refuse files that end early even where libwebp needs no more of them.
  if (!image.ok()) return;
  FUZZ_CHECK(sound);
  FUZZ_CHECK(std::equal(pixels.begin(), pixels.end(), image->pixels.begin(),
                        image->pixels.end()));
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view file = fuzz::View(data, size);
  const int crop_size = 1 + static_cast<int>(size % 61);
  clip::DecodeOptions options;
  options.max_pixels = 100'000;
  options.apply_exif_orientation = size % 2 == 0;
  static auto* const budget =
      new clip::DecodeBudget({.bytes = int64_t{1} << 30, .at_once = 1});
  options.budget = budget;

  const absl::StatusOr<clip::Image> image = clip::DecodeImage(file, options);
  const auto crop = clip::DecodeAndCrop(file, crop_size, options);
  FUZZ_CHECK(image.ok() == crop.ok());
  FUZZ_CHECK(budget->stats().bytes == 0);
  if (!options.apply_exif_orientation) CheckLosslessWebp(file, image);
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
