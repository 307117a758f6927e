// Reads lines "SIZE MODE FILL BILINEAR EXIF PATH" and writes, for each, one
// line of stdout: the crop's bytes in hex, or "error: " and what is wrong, a
// difference between CropForModel and DecodeAndCrop included. MODE is
// open_clip's resize_mode; FILL its fill_color; of "patches" SIZE is a
// patch's and FILL how many there are at most; BILINEAR and EXIF are 0 or 1.
// tools/check_crops.py compares the lines with Pillow's.
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "clip/image.h"

int main() {
  int side = 0, fill = 0;
  bool bilinear = false;
  std::string mode;
  clip::DecodeOptions options;
  std::string path;
  while (std::cin >> side >> mode >> fill >> bilinear >>
         options.apply_exif_orientation >> path) {
    const std::map<std::string, clip::ResizeMode> modes = {
        {"shortest", clip::ResizeMode::kShortest},
        {"squash", clip::ResizeMode::kSquash},
        {"longest", clip::ResizeMode::kLongest},
        {"patches", clip::ResizeMode::kPatches}};
    clip::CropShape shape(side, modes.at(mode), bilinear,
                          static_cast<uint8_t>(fill));
    shape.patch = side;
    shape.most_patches = fill;
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
    std::cout << absl::BytesToHexString(
                     {reinterpret_cast<const char*>(crop.data()), crop.size()})
              << std::endl;
  }
}
