#include "clip/torch/tensors.h"

#include <cstring>
#include <vector>

namespace clip {
namespace {

// REQUIRES: one of the types that ReadCheckpoint lets through.
at::ScalarType TorchType(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return at::kHalf;
    case DType::kBFloat16:
      return at::kBFloat16;
    default:
      return at::kFloat;
  }
}

// A copy: the file's bytes need not be aligned, and may go away.
at::Tensor Copy(const TensorView& view) {
  if (view.bytes.empty()) return at::zeros(view.shape);
  at::Tensor tensor = at::empty(view.shape, TorchType(view.dtype));
  std::memcpy(tensor.data_ptr(), view.bytes.data(), view.bytes.size());
  return tensor;
}

}  // namespace

at::Tensor WeightLoader::Stored(const std::string& name) const {
  const Weight& weight = checkpoint_.weights.at(name);
  std::vector<at::Tensor> parts;
  for (const TensorView& part : weight.parts) parts.push_back(Copy(part));
  at::Tensor tensor = parts.size() == 1 ? parts[0] : at::cat(parts);
  return weight.transposed ? tensor.t().contiguous() : tensor;
}

at::Tensor WeightLoader::Float(const std::string& name) const {
  return Stored(name).to(at::kFloat);
}

at::Tensor WeightLoader::Vector(const std::string& name) const {
  return Float(name).to(compute_.device);
}

at::Tensor WeightLoader::ToDevice(const at::Tensor& tensor) const {
  return tensor.to(compute_.device, compute_.dtype);
}

TokenTable::TokenTable(const WeightLoader& loader)
    : dtype_(loader.compute().dtype),
      table_(loader.Stored("token_embedding.weight")) {
  if (loader.Has("class_embedding")) {
    table_ = at::cat({table_, loader.Stored("class_embedding").unsqueeze(0)});
  }
  if (!loader.compute().device.is_cpu()) table_ = loader.ToDevice(table_);
}

at::Tensor UnitRows(const at::Tensor& rows) {
  const at::Tensor x = rows.to(at::kFloat);
  return x / x.norm(2, /*dim=*/-1, /*keepdim=*/true);
}

}  // namespace clip
