#include "clip/torch/vision_tower.h"

namespace clip {

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
