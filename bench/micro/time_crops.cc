// Reads lines "SIZE PATH" and writes, for each, one line of stdout: the
// SHA-256 of the crop, then the milliseconds of one DecodeAndCrop call as a
// whole, of its decoding and of the rest. bench/preprocessing.py compares.
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "clip/image.h"
#include "clip/sha256.h"

int main() {
  int size = 0;
  std::string path;
  while (std::cin >> size >> path) {
    std::ifstream file(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    clip::CropTiming timing;
    const absl::Time start = absl::Now();
    const auto crop = clip::DecodeAndCrop(bytes, size, {}, &timing);
    const absl::Duration whole = absl::Now() - start;
    if (!crop.ok()) {
      std::cerr << crop.status() << std::endl;
      return 1;
    }
    clip::Sha256 sha;
    sha.Update({reinterpret_cast<const char*>(crop->data()), crop->size()});
    std::cout << sha.HexDigest() << ' ' << absl::ToDoubleMilliseconds(whole)
              << ' ' << absl::ToDoubleMilliseconds(timing.decode) << ' '
              << absl::ToDoubleMilliseconds(timing.crop) << std::endl;
  }
}
