// Reads lines "SIZE SQUASH EXIF PATH" and writes, for each, one line of stdout:
// the SHA-256 of the crop's bytes, or "error: " and what is wrong, a difference
// between CropForModel and DecodeAndCrop included. SQUASH and EXIF are 0 or 1.
// tools/check_crops.py compares the lines with Pillow's.
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "base/sha256.h"
#include "clip/image.h"

int main() {
  int side = 0;
  bool squash = false;
  clip::DecodeOptions options;
  std::string path;
  while (std::cin >> side >> squash >> options.apply_exif_orientation >> path) {
    const clip::CropShape shape(side, squash);
    std::ifstream file(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    const absl::StatusOr<clip::Image> image = clip::DecodeImage(bytes, options);
    if (!image.ok()) {
      std::cout << "error: " << image.status() << std::endl;
      continue;
    }
    const std::vector<uint8_t> crop = clip::CropForModel(*image, shape);
    const auto in_one_step = clip::DecodeAndCrop(bytes, shape, options);
    if (!in_one_step.ok() || *in_one_step != crop) {
      std::cout << "error: DecodeAndCrop differs" << std::endl;
      continue;
    }
    base::Sha256 sha;
    sha.Update({reinterpret_cast<const char*>(crop.data()), crop.size()});
    std::cout << sha.HexDigest() << std::endl;
  }
}
