#include "clip/checkpoint/shape_reader.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace clip {

int ShapeReader::Size(const std::string& name, size_t rank, size_t axis) {
  const auto found = tensors_.find(name);
  if (found == tensors_.end())
    return Fail(absl::StrCat("tensor '", name, "' is missing"));
  const std::vector<int64_t>& shape = found->second.shape;
  if (shape.size() != rank || shape[axis] > kMaxSize) {
    return Fail(absl::StrCat("tensor '", name, "' is ", ShapeText(shape),
                             ", expected ", rank, " dimensions up to ",
                             kMaxSize));
  }
  return static_cast<int>(shape[axis]);
}

int ShapeReader::Layers(absl::string_view prefix) const {
  int layers = 0;
  for (auto it = tensors_.lower_bound(prefix); it != tensors_.end(); ++it) {
    absl::string_view rest = it->first;
    int layer = 0;
    if (!absl::ConsumePrefix(&rest, prefix)) break;
    if (absl::SimpleAtoi(rest.substr(0, rest.find('.')), &layer) &&
        layer >= 0 && layer < kMaxSize) {
      layers = std::max(layers, layer + 1);
    }
  }
  return layers;
}

int ShapeReader::Grid(const std::string& name) {
  const int rows = Size(name, 2, 0);
  const int grid =
      static_cast<int>(std::lround(std::sqrt(std::max(0, rows - 1))));
  if (status_.ok() && grid * grid + 1 != rows) {
    return Fail(absl::StrCat("tensor '", name, "' has ", rows,
                             " rows, expected a square number and 1"));
  }
  return grid;
}

int ShapeReader::Fail(const std::string& what) {
  if (status_.ok()) status_ = absl::InvalidArgumentError(what);
  return 0;
}

}  // namespace clip
