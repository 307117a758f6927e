#include "clip/torch/cuda/cuda_transformer.h"

#include "absl/strings/str_cat.h"
#include "clip/torch/cuda/queue.h"

namespace clip {
namespace {

float* Floats(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr<float>() : nullptr;
}

void* Data(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr() : nullptr;
}

}  // namespace

Half HalfOf(at::ScalarType type) {
  switch (type) {
    case at::kHalf:
      return Half::kFp16;
    case at::kBFloat16:
      return Half::kBf16;
    default:
      return Half::kFp32;
  }
}

NormWeights WeightsOf(const LayerNorm& norm) {
  return {Floats(norm.weight), Floats(norm.bias),
          static_cast<float>(norm.epsilon)};
}

bool KernelsTake(const TransformerShape& shape) {
  return shape.width % kWidthUnit == 0 && shape.width <= kMaxWidth &&
         shape.mlp_width % kWidthUnit == 0;
}

at::Tensor CudaUnitRows(const at::Tensor& rows) {
  if (rows.size(1) % kWidthUnit != 0) return UnitRows(rows);
  const at::Tensor from = rows.contiguous(),
                   to = at::empty(from.sizes(),
                                  from.options().dtype(at::kFloat));
  CheckCuda(UnitRows(HalfOf(from.scalar_type()), from.data_ptr(), from.size(0),
                     static_cast<int>(from.size(1)), Floats(to),
                     CurrentStream()));
  return to;
}

CudaTransformer::CudaTransformer(const WeightLoader& loader,
                                 const std::string& prefix,
                                 const TransformerShape& shape,
                                 const std::string& norm)
    : shape_(shape),
      type_(loader.compute().dtype),
      norm_(loader, norm, shape.norm_epsilon) {
  for (int layer = 0; layer < shape.layers; ++layer) {
    const std::string name = absl::StrCat(prefix, ".resblocks.", layer, ".");
    Block block;
    block.ln_1 = LayerNorm(loader, name + "ln_1", shape.norm_epsilon);
    block.query_key_value = loader.Matrix(name + "attn.in_proj_weight");
    block.query_key_value_bias = loader.Matrix(name + "attn.in_proj_bias");
    block.out = loader.Matrix(name + "attn.out_proj.weight");
    block.out_bias = loader.Vector(name + "attn.out_proj.bias");
    block.ln_2 = LayerNorm(loader, name + "ln_2", shape.norm_epsilon);
    block.fc = loader.Matrix(name + "mlp.c_fc.weight");
    block.fc_bias = loader.Vector(name + "mlp.c_fc.bias");
    block.proj = loader.Matrix(name + "mlp.c_proj.weight");
    block.proj_bias = loader.Vector(name + "mlp.c_proj.bias");
    blocks_.push_back(std::move(block));
  }
}

at::Tensor CudaTransformer::Run(const at::Tensor& x, const at::Tensor& kept,
                                const Attention& attention) const {
  const int64_t width = shape_.width;
  // The product with some of a fused weight's outputs: `count` times the width
  // from the `begin`-th on.
  const auto product = [&](const Block& block, const at::Tensor& rows,
                           int64_t begin, int64_t count) {
    return at::addmm(
        block.query_key_value_bias.narrow(0, begin * width, count * width),
        rows,
        block.query_key_value.narrow(0, begin * width, count * width).t());
  };
  const auto part = [&](const at::Tensor& rows, int64_t index) {
    return rows.narrow(1, index * width, width);
  };
  at::Tensor delta, bias;  // of the block before
  for (size_t layer = 0; layer + 1 < blocks_.size(); ++layer) {
    const Block& block = blocks_[layer];
    at::Tensor mixed;
    {
      const at::Tensor all =
          product(block, AddNorm(x, delta, bias, block.ln_1), 0, 3);
      mixed = attention(part(all, 0), part(all, 1), part(all, 2), false);
    }
    delta = Mlp(block, x, mixed);
    bias = block.proj_bias;
  }
  // The last block: keys and values of all rows, the rest of the kept ones.
  const Block& block = blocks_.back();
  const int64_t count = kept.size(0);
  const at::Tensor key_value =
      product(block, AddNorm(x, delta, bias, block.ln_1), 1, 2);
  const at::Tensor x_kept = at::empty({count, width}, x.options()),
                   hidden = at::empty({count, width}, x.options().dtype(type_));
  // x has its sum already.
  CheckCuda(AddNormKept(HalfOf(type_), Floats(x), nullptr, nullptr,
                        WeightsOf(block.ln_1), kept.data_ptr<int32_t>(), count,
                        static_cast<int>(width), Floats(x_kept), Data(hidden),
                        CurrentStream()));
  const at::Tensor mixed =
      attention(product(block, hidden, 0, 1), part(key_value, 0),
                part(key_value, 1), true);
  const at::Tensor update = Mlp(block, x_kept, mixed);
  return AddNorm(x_kept, update, block.proj_bias, norm_);
}

at::Tensor CudaTransformer::AddNorm(const at::Tensor& x,
                                    const at::Tensor& delta,
                                    const at::Tensor& bias,
                                    const LayerNorm& norm) const {
  const at::Tensor out = at::empty(x.sizes(), x.options().dtype(type_));
  CheckCuda(clip::AddNorm(HalfOf(type_), Floats(x), Data(delta), Floats(bias),
                          WeightsOf(norm), x.size(0), shape_.width, Data(out),
                          CurrentStream()));
  return out;
}

at::Tensor CudaTransformer::Mlp(const Block& block, const at::Tensor& x,
                                const at::Tensor& mixed) const {
  at::Tensor hidden;
  {
    const at::Tensor delta = at::mm(mixed, block.out.t());
    hidden =
        at::mm(AddNorm(x, delta, block.out_bias, block.ln_2), block.fc.t());
  }
  CheckCuda(BiasActivation(HalfOf(type_), Data(hidden), Floats(block.fc_bias),
                           shape_.activation, hidden.size(0), shape_.mlp_width,
                           CurrentStream()));
  return at::mm(hidden, block.proj.t());
}

}  // namespace clip
