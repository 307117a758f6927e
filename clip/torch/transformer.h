// The pre-norm residual transformer that both towers of CLIP are made of
// (openai/CLIP's model.py, class Transformer):
//   x = x + attention(ln_1(x));  x = x + mlp(ln_2(x))
// Thread rule: const after construction.
#ifndef ZEROSHOT_CLIP_TORCH_TRANSFORMER_H_
#define ZEROSHOT_CLIP_TORCH_TRANSFORMER_H_

#include <string>
#include <vector>

#include "clip/torch/tensors.h"

namespace clip {

class Transformer {
 public:
  Transformer(const WeightLoader& loader, const std::string& prefix,
              const TransformerShape& shape);

  // x [n, length, width] to the same shape. Causal: a position sees itself and
  // those before it. Consumes x.
  at::Tensor operator()(at::Tensor x, bool causal) const;

 private:
  struct Block {
    LayerNorm ln_1;
    Linear in_proj;  // query, key and value below each other
    Linear out_proj;
    LayerNorm ln_2;
    Linear c_fc;
    Linear c_proj;
  };

  at::Tensor Attention(const Block& block, const at::Tensor& x,
                       bool causal) const;
  at::Tensor Mlp(const Block& block, const at::Tensor& x) const;

  const int heads_;
  const Activation activation_;
  std::vector<Block> blocks_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_TRANSFORMER_H_
