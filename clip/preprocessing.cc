#include "clip/preprocessing.h"

#include "absl/strings/str_cat.h"

namespace clip {

namespace {

std::string DescribeResize(const CropShape& crop) {
  switch (crop.resize) {
    case ResizeMode::kShortest:
      return absl::StrCat("shorter side resized to ", crop.side,
                          " pixels, middle cut out");
    case ResizeMode::kSquash:
      return absl::StrCat("both sides resized to ", crop.side, " pixels");
    case ResizeMode::kLongest:
      return absl::StrCat("longer side resized to ", crop.side,
                          " pixels, rest filled with ", crop.fill);
    case ResizeMode::kPatches:
      return absl::StrCat("both sides resized to multiples of ", crop.patch,
                          " pixels, ratio kept, up to ", crop.most_patches,
                          " patches");
  }
  return "";
}

}  // namespace

std::string Describe(const Preprocessing& preprocessing) {
  const auto triple = [](const std::array<float, 3>& v) {
    return absl::StrCat(v[0], " ", v[1], " ", v[2]);
  };
  return absl::StrCat(DescribeResize(preprocessing.crop),
                      preprocessing.crop.bilinear ? ", bilinear" : ", bicubic",
                      ", RGB, mean ", triple(preprocessing.mean), ", std ",
                      triple(preprocessing.std));
}

}  // namespace clip
