#include "clip/torch/transformer.h"

#include "absl/strings/str_cat.h"

namespace clip {

at::Tensor Activated(Activation activation, at::Tensor hidden) {
  switch (activation) {
    case Activation::kQuickGelu:
      return hidden.mul_(at::sigmoid(hidden * 1.702));
    case Activation::kGelu:
      return at::gelu_(hidden);
    case Activation::kTanhGelu:
      return at::gelu_(hidden, "tanh");
  }
  return hidden;
}

Transformer::Transformer(const WeightLoader& loader, const std::string& prefix,
                         const TransformerShape& shape)
    : heads_(shape.heads),
      activation_(shape.activation),
      gated_(shape.gated),
      norm_after_(shape.norm_after) {
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
    if (gated_) {
      block.attn_norm =
          LayerNorm(loader, name + "attn.norm", shape.norm_epsilon);
      block.mlp_norm = LayerNorm(loader, name + "mlp.norm", shape.norm_epsilon);
    }
    blocks_.push_back(std::move(block));
  }
}

at::Tensor Transformer::operator()(at::Tensor x, bool causal,
                                   const Rotary* rotary,
                                   const at::Tensor& mask) const {
  for (const Block& block : blocks_) {
    if (norm_after_) {
      x = block.ln_1(x + Attention(block, x, causal, rotary, mask));
      x = block.ln_2(x + Mlp(block, x));
      continue;
    }
    x.add_(Attention(block, block.ln_1(x), causal, rotary, mask));
    x.add_(Mlp(block, block.ln_2(x)));
  }
  return x;
}

at::Tensor Transformer::Attention(const Block& block, const at::Tensor& x,
                                  bool causal, const Rotary* rotary,
                                  const at::Tensor& mask) const {
  const int64_t n = x.size(0), length = x.size(1), width = x.size(2);
  const at::Tensor all = block.in_proj(x);
  if (rotary != nullptr)
    rotary->Rotate(all.view({n * length, 3 * width}).narrow(1, 0, 2 * width));
  // [n, length, 3 * width] to three of [n, heads, length, head width].
  const at::Tensor qkv =
      all.view({n, length, 3, heads_, width / heads_}).permute({2, 0, 3, 1, 4});
  const at::Tensor mixed = at::scaled_dot_product_attention(
      qkv[0], qkv[1], qkv[2],
      mask.defined() ? std::optional<at::Tensor>(mask) : std::nullopt,
      /*dropout_p=*/0.0, causal && !mask.defined());
  const at::Tensor rows = mixed.transpose(1, 2).reshape({n, length, width});
  return block.out_proj(gated_ ? block.attn_norm(rows) : rows);
}

at::Tensor Transformer::Mlp(const Block& block, const at::Tensor& x) const {
  const at::Tensor hidden = block.c_fc(x);
  if (!gated_) return block.c_proj(Activated(activation_, hidden));
  const auto halves = hidden.chunk(2, /*dim=*/-1);
  return block.c_proj(block.mlp_norm(at::silu(halves[0]) * halves[1]));
}

}  // namespace clip
