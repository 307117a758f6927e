// Reads lines "SIZE PATH" and writes, for each, one line of stdout: the
// SHA-256 of the crop, then the milliseconds of one DecodeAndCrop call as a
// whole, of its decoding and of the rest; then how far the crop with
// DecodeOptions::fast is from it (mean and largest difference of a sample) and
// what that call took. bench/preprocessing.py compares.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "base/sha256.h"
#include "clip/image.h"

int main() {
  int size = 0;
  std::string path;
  while (std::cin >> size >> path) {
    std::ifstream file(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    clip::CropTiming timing;
    clip::DecodeOptions fast;
    fast.fast = true;
    const absl::Time start = absl::Now();
    const auto crop = clip::DecodeAndCrop(bytes, size, {}, &timing);
    const absl::Time end = absl::Now();
    const auto quick = clip::DecodeAndCrop(bytes, size, fast);
    const absl::Time quick_end = absl::Now();
    if (!crop.ok() || !quick.ok()) {
      std::cerr << crop.status() << std::endl;
      return 1;
    }
    double sum = 0;
    int largest = 0;
    for (size_t i = 0; i < crop->size(); ++i) {
      const int difference = std::abs((*crop)[i] - (*quick)[i]);
      sum += difference;
      largest = std::max(largest, difference);
    }
    base::Sha256 sha;
    sha.Update({reinterpret_cast<const char*>(crop->data()), crop->size()});
    std::cout << sha.HexDigest() << ' '
              << absl::ToDoubleMilliseconds(end - start) << ' '
              << absl::ToDoubleMilliseconds(timing.decode) << ' '
              << absl::ToDoubleMilliseconds(timing.crop) << ' '
              << sum / crop->size() << ' ' << largest << ' '
              << absl::ToDoubleMilliseconds(quick_end - end) << std::endl;
  }
}
