// Decoding and cropping: the file as it came, of every format but those of
// heif_fuzz.cc. Our reader of lossless WebP and libwebp's must agree.
#include <webp/decode.h>

#include <algorithm>
#include <vector>

#include "clip/image.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/images.h"

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
  static const clip::ImageFormats formats = *clip::ImageFormats::Parse(
      clip::IsBuilt(clip::ImageFormat::kTiff)
          ? clip::ImageFormats::OnByDefault().List() + ",tiff"
          : clip::ImageFormats::OnByDefault().List());
  const auto image = fuzz::CheckImage(file, formats);
  if (size % 2 != 0) CheckLosslessWebp(file, image);
  return 0;
}
