#include "clip/torch/transformer.h"

#include "absl/strings/str_cat.h"

namespace clip {

Transformer::Transformer(const WeightLoader& loader, const std::string& prefix,
                         const TransformerShape& shape)
    : heads_(shape.heads), activation_(shape.activation) {
  for (int layer = 0; layer < shape.layers; ++layer) {
    const std::string name = absl::StrCat(prefix, ".resblocks.", layer, ".");
    Block block;
    block.ln_1 = LayerNorm(loader, name + "ln_1", shape.norm_epsilon);
    block.in_proj.weight = loader.Matrix(name + "attn.in_proj_weight");
    block.in_proj.bias = loader.Matrix(name + "attn.in_proj_bias");
    block.out_proj = Linear(loader, name + "attn.out_proj");
    block.ln_2 = LayerNorm(loader, name + "ln_2", shape.norm_epsilon);
    block.c_fc = Linear(loader, name + "mlp.c_fc");
    block.c_proj = Linear(loader, name + "mlp.c_proj");
    blocks_.push_back(std::move(block));
  }
}

at::Tensor Transformer::operator()(at::Tensor x, bool causal) const {
  for (const Block& block : blocks_) {
    x.add_(Attention(block, block.ln_1(x), causal));
    x.add_(Mlp(block, block.ln_2(x)));
  }
  return x;
}

at::Tensor Transformer::Attention(const Block& block, const at::Tensor& x,
                                  bool causal) const {
  const int64_t n = x.size(0), length = x.size(1), width = x.size(2);
  // [n, length, 3 * width] to three of [n, heads, length, head width].
  const at::Tensor qkv = block.in_proj(x)
                             .view({n, length, 3, heads_, width / heads_})
                             .permute({2, 0, 3, 1, 4});
  const at::Tensor mixed = at::scaled_dot_product_attention(
      qkv[0], qkv[1], qkv[2], /*attn_mask=*/{}, /*dropout_p=*/0.0, causal);
  return block.out_proj(mixed.transpose(1, 2).reshape({n, length, width}));
}

at::Tensor Transformer::Mlp(const Block& block, const at::Tensor& x) const {
  at::Tensor hidden = block.c_fc(x);
  if (activation_ == Activation::kQuickGelu) {
    hidden.mul_(at::sigmoid(hidden * 1.702));
  } else {
    at::gelu_(hidden);
  }
  return block.c_proj(hidden);
}

}  // namespace clip
