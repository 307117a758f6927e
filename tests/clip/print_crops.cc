// Reads lines "SIZE EXIF PATH" and writes, for each, one line of stdout: the
// SHA-256 of the crop's bytes, or "error: " and what is wrong, a difference
// between CropForModel and DecodeAndCrop included. EXIF is 0 or 1.
// tools/check_crops.py compares the lines with Pillow's.
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "clip/image.h"
#include "clip/sha256.h"

int main() {
  int size = 0;
  clip::DecodeOptions options;
  std::string path;
  while (std::cin >> size >> options.apply_exif_orientation >> path) {
    std::ifstream file(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    const absl::StatusOr<clip::Image> image = clip::DecodeImage(bytes, options);
    if (!image.ok()) {
      std::cout << "error: " << image.status() << std::endl;
      continue;
    }
    const std::vector<uint8_t> crop = clip::CropForModel(*image, size);
    const auto in_one_step = clip::DecodeAndCrop(bytes, size, options);
    if (!in_one_step.ok() || *in_one_step != crop) {
      std::cout << "error: DecodeAndCrop differs" << std::endl;
      continue;
    }
    clip::Sha256 sha;
    sha.Update({reinterpret_cast<const char*>(crop.data()), crop.size()});
    std::cout << sha.HexDigest() << std::endl;
  }
}
