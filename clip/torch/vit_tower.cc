// openai/CLIP's model.py, class VisionTransformer.
#include "clip/torch/transformer.h"
#include "clip/torch/vision_tower.h"

namespace clip {
namespace {

class VitTower : public VisionTower {
 public:
  VitTower(const WeightLoader& loader, const VitShape& shape)
      : normalize_(loader),
        patch_(shape.patch),
        patch_weight_(loader.Matrix("visual.conv1.weight").flatten(1)),
        class_embedding_(loader.Matrix("visual.class_embedding")),
        positions_(loader.Matrix("visual.positional_embedding")),
        ln_pre_(loader, "visual.ln_pre", shape.transformer.norm_epsilon),
        transformer_(loader, "visual.transformer", shape.transformer),
        ln_post_(loader, "visual.ln_post", shape.transformer.norm_epsilon),
        proj_(loader.Matrix("visual.proj")) {}

  at::Tensor Encode(const at::Tensor& crops) const override {
    const at::Tensor pixels = normalize_(crops);
    const int64_t n = pixels.size(0), grid = pixels.size(2) / patch_,
                  width = class_embedding_.size(0);
    // A convolution whose stride is its kernel is a matrix product over
    // patches.
    const at::Tensor patches =
        pixels.view({n, 3, grid, patch_, grid, patch_})
            .permute({0, 2, 4, 1, 3, 5})
            .reshape({n, grid * grid, 3 * patch_ * patch_});
    const at::Tensor tokens = at::cat({class_embedding_.expand({n, 1, width}),
                                       at::linear(patches, patch_weight_)},
                                      /*dim=*/1);
    const at::Tensor x =
        transformer_(ln_pre_(tokens + positions_), /*causal=*/false);
    return at::matmul(ln_post_(x.select(/*dim=*/1, /*index=*/0)), proj_);
  }

 private:
  const Normalize normalize_;
  const int64_t patch_;
  const at::Tensor patch_weight_;     // [width, 3 * patch * patch]
  const at::Tensor class_embedding_;  // [width]
  const at::Tensor positions_;        // [1 + grid * grid, width]
  const LayerNorm ln_pre_;
  const Transformer transformer_;
  const LayerNorm ln_post_;
  const at::Tensor proj_;  // [width, embedding_dim]
};

}  // namespace

std::unique_ptr<VisionTower> MakeVitTower(const WeightLoader& loader) {
  return std::make_unique<VitTower>(
      loader, std::get<VitShape>(loader.architecture().vision));
}

}  // namespace clip
