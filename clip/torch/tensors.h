// From a checkpoint's bytes to the tensors that the towers compute with.
#ifndef ZEROSHOT_CLIP_TORCH_TENSORS_H_
#define ZEROSHOT_CLIP_TORCH_TENSORS_H_

#include <ATen/ATen.h>

#include <string>

#include "clip/checkpoint/checkpoint.h"

namespace clip {

// Where and in which type a tower computes.
struct Compute {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;  // of matrix products; norms are float32
};

// Copies weights out of a checkpoint, by their names in RequiredTensors.
// Thread rule: const and without state; borrows the checkpoint.
class WeightLoader {
 public:
  WeightLoader(const Checkpoint& checkpoint, const Compute& compute)
      : checkpoint_(checkpoint), compute_(compute) {}

  const Architecture& architecture() const { return checkpoint_.architecture; }
  const Compute& compute() const { return compute_; }

  // For matrix products: in the compute type, on the device.
  at::Tensor Matrix(const std::string& name) const {
    return ToDevice(Float(name));
  }
  // For norms: float32, on the device.
  at::Tensor Vector(const std::string& name) const;
  // float32 on the CPU, for arithmetic before ToDevice.
  at::Tensor Float(const std::string& name) const;
  at::Tensor ToDevice(const at::Tensor& tensor) const;

 private:
  const Checkpoint& checkpoint_;
  const Compute compute_;
};

// y = x W^T + b, W [out, in]; b may be undefined.
struct Linear {
  Linear() = default;
  Linear(const WeightLoader& loader, const std::string& name)
      : weight(loader.Matrix(name + ".weight")),
        bias(loader.Matrix(name + ".bias")) {}

  at::Tensor operator()(const at::Tensor& x) const {
    return at::linear(x, weight, bias);
  }

  at::Tensor weight;
  at::Tensor bias;
};

// Over the last axis, in float32 whatever the type of x, as the reference does
// (openai/CLIP's model.py, class LayerNorm).
struct LayerNorm {
  LayerNorm() = default;
  LayerNorm(const WeightLoader& loader, const std::string& name, double epsilon)
      : weight(loader.Vector(name + ".weight")),
        bias(loader.Vector(name + ".bias")),
        epsilon(epsilon) {}

  at::Tensor operator()(const at::Tensor& x) const {
    return at::layer_norm(x.to(at::kFloat), weight.sizes(), weight, bias,
                          epsilon)
        .to(x.scalar_type());
  }

  at::Tensor weight;
  at::Tensor bias;
  double epsilon = 1e-5;
};

// Rows [n, d] of any type to float32 rows of length 1.
at::Tensor UnitRows(const at::Tensor& rows);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_TENSORS_H_
