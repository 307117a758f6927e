// The transformer of transformer.h, for CUDA: weights packed once, the residual
// stream in float32, and between two matrix products one kernel of ours
// (kernels.h). Products are ATen's, so cuBLAS's, in fp16, bf16 or fp32, summed
// in float32.
//
// Thread rule: const after construction. Everything is queued on the current
// stream; nothing waits, so that a graph may capture it.
#ifndef ZEROSHOT_CLIP_TORCH_CUDA_CUDA_TRANSFORMER_H_
#define ZEROSHOT_CLIP_TORCH_CUDA_CUDA_TRANSFORMER_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "clip/torch/cuda/kernels.h"
#include "clip/torch/tensors.h"

namespace clip {

// kernels.h's name for a type. REQUIRES: float16, bfloat16 or float32.
Half HalfOf(at::ScalarType type);

// A norm's weights as kernels.h takes them; borrowed.
NormWeights WeightsOf(const LayerNorm& norm);

// `rows` [n, width] of any compute type to float32 unit rows, by our kernel
// where it takes the width.
at::Tensor CudaUnitRows(const at::Tensor& rows);

// Whether kernels.h takes rows of these widths. Every published CLIP's it does;
// others run on the towers for any device.
bool KernelsTake(const TransformerShape& shape);

class CudaTransformer {
 public:
  // How much of `values` [n, width] each of `queries` [m, width] takes, by its
  // products with `keys` [n, width]; returns [m, width], contiguous. The three
  // may be parts of wider rows. `kept`: the queries are the rows that Run
  // keeps.
  using Attention = std::function<at::Tensor(
      const at::Tensor& queries, const at::Tensor& keys,
      const at::Tensor& values, bool kept)>;

  // `norm` names the layer norm behind the last block.
  CudaTransformer(const WeightLoader& loader, const std::string& prefix,
                  const TransformerShape& shape, const std::string& norm);

  // x [n, width] float32, consumed, through all blocks and the norm; of the
  // result only the rows `kept` [m] (int32), which is all that the last block
  // then computes. Returns [m, width] in the compute type.
  at::Tensor Run(const at::Tensor& x, const at::Tensor& kept,
                 const Attention& attention) const;

 private:
  // Weights [out, in] in the compute type. Biases in float32, which the kernel
  // behind the product adds; but that of query, key and value, which the
  // product adds itself, in the compute type.
  struct Block {
    LayerNorm ln_1;
    at::Tensor query_key_value, query_key_value_bias;
    at::Tensor out, out_bias;
    LayerNorm ln_2;
    at::Tensor fc, fc_bias;
    at::Tensor proj, proj_bias;
  };

  // x += delta + bias, unless they are undefined; its norm.
  at::Tensor AddNorm(const at::Tensor& x, const at::Tensor& delta,
                     const at::Tensor& bias, const LayerNorm& norm) const;
  // The rest of a block behind its attention; returns what is to be added to x,
  // but for proj_bias.
  at::Tensor Mlp(const Block& block, const at::Tensor& x,
                 const at::Tensor& mixed) const;

  const TransformerShape shape_;
  const at::ScalarType type_;
  const LayerNorm norm_;
  std::vector<Block> blocks_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_CUDA_CUDA_TRANSFORMER_H_
