// The residual transformer that both towers of CLIP are made of (openai/CLIP's
// model.py, class Transformer):
//   x = x + attention(ln_1(x));  x = x + mlp(ln_2(x))
// and BERT's, where TransformerShape::norm_after:
//   x = ln_1(x + attention(x));  x = ln_2(x + mlp(x))
// Thread rule: const after construction.
#ifndef ZEROSHOT_CLIP_TORCH_TRANSFORMER_H_
#define ZEROSHOT_CLIP_TORCH_TRANSFORMER_H_

#include <string>
#include <vector>

#include "clip/torch/rotary.h"
#include "clip/torch/tensors.h"

namespace clip {

// The activation of `hidden`, which is consumed.
at::Tensor Activated(Activation activation, at::Tensor hidden);

class Transformer {
 public:
  Transformer(const WeightLoader& loader, const std::string& prefix,
              const TransformerShape& shape);

  // x [n, length, width] to the same shape. Causal: a position sees itself and
  // those before it. `rotary` (may be null) turns queries and keys. `mask` [n,
  // 1, length, length] says which see which, in the place of `causal`;
  // undefined: there is none. Consumes x.
  at::Tensor operator()(at::Tensor x, bool causal,
                        const Rotary* rotary = nullptr,
                        const at::Tensor& mask = {}) const;

 private:
  struct Block {
    LayerNorm ln_1;
    Linear in_proj;       // query, key and value below each other
    LayerNorm attn_norm;  // if gated
    Linear out_proj;
    LayerNorm ln_2;
    Linear c_fc;
    LayerNorm mlp_norm;  // if gated
    Linear c_proj;
  };

  at::Tensor Attention(const Block& block, const at::Tensor& x, bool causal,
                       const Rotary* rotary, const at::Tensor& mask) const;
  at::Tensor Mlp(const Block& block, const at::Tensor& x) const;

  const int heads_;
  const Activation activation_;
  const bool gated_, norm_after_;
  std::vector<Block> blocks_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_TRANSFORMER_H_
