#include "clip/torch/vision_tower.h"

#include <cmath>

namespace clip {

at::Tensor PatchWeight(const WeightLoader& loader, const VitShape& shape) {
  const at::Tensor weight = loader.Float("visual.conv1.weight");
  if (!shape.any_grid) return weight;
  return weight.view({weight.size(0), shape.patch, shape.patch, 3})
      .permute({0, 3, 1, 2});
}

at::Tensor ResizedPositions(const at::Tensor& positions, int64_t rows,
                            int64_t columns) {
  const int64_t width = positions.size(1),
                grid = std::lround(std::sqrt(positions.size(0)));
  if (rows == grid && columns == grid) return positions;
  return at::_upsample_bilinear2d_aa(positions.view({grid, grid, width})
                                         .permute({2, 0, 1})
                                         .unsqueeze(0),
                                     {rows, columns}, /*align_corners=*/false)
      .view({width, rows * columns})
      .t();
}

Normalize::Normalize(const WeightLoader& loader)
    : dtype_(loader.compute().dtype) {
  const auto channels = [&](const std::array<float, 3>& values) {
    return at::tensor(at::ArrayRef<float>(values))
        .view({3, 1, 1})
        .to(loader.compute().device);
  };
  mean_ = channels(loader.architecture().mean);
  std_ = channels(loader.architecture().std);
}

at::Tensor Normalize::operator()(const at::Tensor& crops) const {
  return crops.permute({0, 3, 1, 2})
      .to(at::kFloat, false, false, at::MemoryFormat::Contiguous)
      .div_(255)
      .sub_(mean_)
      .div_(std_)
      .to(dtype_);
}

}  // namespace clip
