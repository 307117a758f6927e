// Patches of 16 x 16 by three convolutions without overlap, as MobileCLIP-B has
// them (timm's vit_base_mci_224).
//
// Thread rule: const after construction.
#ifndef ZEROSHOT_CLIP_TORCH_PATCH_STEM_H_
#define ZEROSHOT_CLIP_TORCH_PATCH_STEM_H_

#include <ATen/ATen.h>

#include "clip/torch/convolution.h"
#include "clip/torch/vision_tower.h"

namespace clip {

class PatchStem {
 public:
  explicit PatchStem(const WeightLoader& loader)
      : normalize_(loader),
        conv0_(loader, "visual.stem.0.conv", "visual.stem.0.bn", 4, false),
        conv1_(loader, "visual.stem.1.conv", "visual.stem.1.bn", 2, false),
        conv2_(loader, "visual.stem.2.conv", "", 2, false) {}

  // Crops [n, size, size, 3] to [n, grid * grid, width].
  at::Tensor operator()(const at::Tensor& crops) const {
    at::Tensor x = conv0_(normalize_(crops));
    x = conv1_(at::gelu_(x));
    return conv2_(at::gelu_(x)).flatten(2).transpose(1, 2);
  }

 private:
  const Normalize normalize_;
  const Convolution conv0_, conv1_, conv2_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_PATCH_STEM_H_
