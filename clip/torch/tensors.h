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
  bool Has(const std::string& name) const {
    return checkpoint_.weights.contains(name);
  }
  const Compute& compute() const { return compute_; }

  // The same, to compute in float32.
  WeightLoader InFloat32() const {
    return WeightLoader(checkpoint_, {compute_.device, at::kFloat});
  }

  // For matrix products: in the compute type, on the device.
  at::Tensor Matrix(const std::string& name) const {
    return ToDevice(Float(name));
  }
  // The same; undefined if the model has no such tensor.
  at::Tensor MatrixIfAny(const std::string& name) const {
    return Has(name) ? Matrix(name) : at::Tensor();
  }
  // For norms: float32, on the device.
  at::Tensor Vector(const std::string& name) const;
  // float32 on the CPU, for arithmetic before ToDevice.
  at::Tensor Float(const std::string& name) const;
  // In the type that the file has it in, on the CPU.
  at::Tensor Stored(const std::string& name) const;
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

// From a tower's width to the embedding's, as a ProjectionShape says; where the
// model has none of it, nothing. By the names `name`, `name`_bias,
// `name`_hidden and `name`_hidden_bias.
struct Projection {
  Projection(const WeightLoader& loader, const std::string& name)
      : matrix(loader.MatrixIfAny(name)),
        bias(loader.MatrixIfAny(name + "_bias")),
        hidden(loader.MatrixIfAny(name + "_hidden")),
        hidden_bias(loader.MatrixIfAny(name + "_hidden_bias")) {}

  at::Tensor operator()(const at::Tensor& x) const {
    if (!hidden.defined()) return Product(x, matrix, bias);
    return Product(at::gelu(Product(x, hidden, hidden_bias)), matrix, bias);
  }

  at::Tensor matrix, bias;         // [in, out]; undefined: none
  at::Tensor hidden, hidden_bias;  // before them

 private:
  static at::Tensor Product(const at::Tensor& x, const at::Tensor& matrix,
                            const at::Tensor& bias) {
    const at::Tensor y = matrix.defined() ? at::matmul(x, matrix) : x;
    return bias.defined() ? y + bias : y;
  }
};

// Embeddings of tokens by their ids; behind those of the vocabulary the text's
// own class token, where it has one. On the CPU they stay in the type of the
// file: large vocabularies are most of a model's memory, and of them few rows
// are asked for at a time.
class TokenTable {
 public:
  explicit TokenTable(const WeightLoader& loader);

  // Ids of any shape (int32 or int64) to rows of the compute type.
  at::Tensor operator()(const at::Tensor& ids) const {
    return at::embedding(table_, ids).to(dtype_);
  }

  const at::Tensor& table() const { return table_; }

 private:
  const at::ScalarType dtype_;
  at::Tensor table_;  // [vocabulary, width]
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
