// openai/CLIP's model.py, class VisionTransformer, and what others make of it:
// VitShape says how they differ.
#include <optional>

#include "clip/torch/attention_pool.h"
#include "clip/torch/patch_stem.h"
#include "clip/torch/rotary.h"
#include "clip/torch/transformer.h"
#include "clip/torch/vision_tower.h"

namespace clip {
namespace {

// AttentionPool and what is behind it: y = out(pool(x)), y + mlp(norm(y)).
class PoolingHead {
 public:
  PoolingHead(const WeightLoader& loader, const VitShape& shape)
      : activation_(shape.pool_activation),
        pool_(loader, "visual.attn_pool.attn.", shape.pool_heads,
              loader.Float("visual.attn_pool.probe")),
        out_(loader, "visual.attn_pool.attn.out_proj"),
        norm_(loader, "visual.attn_pool.layernorm",
              shape.transformer.norm_epsilon),
        fc_(loader, "visual.attn_pool.mlp.c_fc"),
        proj_(loader, "visual.attn_pool.mlp.c_proj") {}

  at::Tensor operator()(const at::Tensor& tokens) const {
    const at::Tensor x = out_(pool_(tokens));
    return x + proj_(Activated(activation_, fc_(norm_(x))));
  }

 private:
  const Activation activation_;
  const AttentionPool pool_;
  const Linear out_;
  const LayerNorm norm_;
  const Linear fc_, proj_;
};

class VitTower : public VisionTower {
 public:
  VitTower(const WeightLoader& loader, const VitShape& shape)
      : normalize_(loader),
        shape_(shape),
        positions_(loader.Matrix("visual.positional_embedding")),
        transformer_(loader, "visual.transformer", shape.transformer),
        ln_post_(loader, NormBehind(shape), shape.transformer.norm_epsilon),
        projection_(loader, "visual.proj") {
    if (shape.stem) {
      stem_.emplace(loader);
    } else {
      patches_.weight = loader.ToDevice(PatchWeight(loader, shape).flatten(1));
      if (shape.patch_bias) patches_.bias = loader.Matrix("visual.conv1.bias");
    }
    if (shape.rotary.used) rotary_.emplace(loader, shape);
    if (shape.class_token)
      class_embedding_ = loader.Matrix("visual.class_embedding");
    if (shape.norm_before) {
      ln_pre_ =
          LayerNorm(loader, "visual.ln_pre", shape.transformer.norm_epsilon);
    }
    if (shape.pool == VitPool::kAttention) head_.emplace(loader, shape);
    if (shape.pool == VitPool::kQueries) queries_.emplace(loader, shape);
  }

  at::Tensor Encode(const at::Tensor& crops) const override {
    at::Tensor x = stem_ ? (*stem_)(crops) : Patches(crops);
    if (!shape_.class_position) x = x + positions_;
    if (shape_.class_token) {
      x = at::cat({class_embedding_.expand({x.size(0), 1, x.size(2)}), x},
                  /*dim=*/1);
    }
    if (shape_.any_grid) {
      x = x + ResizedPositions(positions_, crops.size(1) / shape_.patch,
                               crops.size(2) / shape_.patch);
    } else if (shape_.class_position) {
      x = x + positions_;
    }
    if (shape_.norm_before) x = ln_pre_(x);
    return projection_(Pooled(
        transformer_(x, /*causal=*/false, rotary_ ? &*rotary_ : nullptr)));
  }

 private:
  // [n, grid * grid, width]. A convolution whose stride is its kernel is a
  // matrix product over patches.
  at::Tensor Patches(const at::Tensor& crops) const {
    const int64_t n = crops.size(0), patch = shape_.patch,
                  rows = crops.size(1) / patch, columns = crops.size(2) / patch;
    return patches_(
        normalize_(
            crops.narrow(1, 0, rows * patch).narrow(2, 0, columns * patch))
            .view({n, 3, rows, patch, columns, patch})
            .permute({0, 2, 4, 1, 3, 5})
            .reshape({n, rows * columns, 3 * patch * patch}));
  }

  // Tokens [n, length, width] to [n, width].
  at::Tensor Pooled(const at::Tensor& x) const {
    switch (shape_.pool) {
      case VitPool::kClass:
        return ln_post_(x.select(/*dim=*/1, /*index=*/0));
      case VitPool::kMean: {
        const int64_t first = shape_.class_token ? 1 : 0;
        return ln_post_(x.narrow(1, first, x.size(1) - first).mean(/*dim=*/1));
      }
      case VitPool::kAttention:
        return (*head_)(ln_post_(x));
      case VitPool::kQueries:
        return (*queries_)(ln_post_(x));
    }
    return x;
  }

  const Normalize normalize_;
  const VitShape shape_;
  Linear patches_;                 // [width, 3 * patch * patch]
  std::optional<PatchStem> stem_;  // in its place
  std::optional<Rotary> rotary_;
  at::Tensor class_embedding_;  // [width]
  const at::Tensor positions_;  // [length, width]
  LayerNorm ln_pre_;
  const Transformer transformer_;
  const LayerNorm ln_post_;
  std::optional<PoolingHead> head_;
  std::optional<FirstQueryPool> queries_;
  const Projection projection_;
};

}  // namespace

std::unique_ptr<VisionTower> MakeVitTower(const WeightLoader& loader) {
  return std::make_unique<VitTower>(
      loader, std::get<VitShape>(loader.architecture().vision));
}

}  // namespace clip
