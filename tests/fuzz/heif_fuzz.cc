// AVIF and HEIC, where they are built: our part is what is said before and
// after libavif and libheif decode.
#include "tests/fuzz/images.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view file = fuzz::View(data, size);
  const auto format = clip::FormatOf(file);
  if (format != clip::ImageFormat::kAvif && format != clip::ImageFormat::kHeic)
    return 0;  // image_fuzz.cc has the others
  (void)fuzz::CheckImage(file, clip::ImageFormats());
  return 0;
}
