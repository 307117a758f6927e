// Crops to embeddings: the two kinds of vision tower.
#ifndef ZEROSHOT_CLIP_TORCH_VISION_TOWER_H_
#define ZEROSHOT_CLIP_TORCH_VISION_TOWER_H_

#include <ATen/ATen.h>

#include <memory>

#include "clip/torch/tensors.h"

namespace clip {

// Thread rule: const after construction.
class VisionTower {
 public:
  virtual ~VisionTower() = default;

  // Pixels [n, 3, size, size] as the reference's ToTensor and Normalize make
  // them, in the compute type, to embeddings [n, embedding_dim].
  virtual at::Tensor Encode(const at::Tensor& pixels) const = 0;
};

// vit_tower.cc. REQUIRES: the architecture's vision is a VitShape.
std::unique_ptr<VisionTower> MakeVitTower(const WeightLoader& loader);
// resnet_tower.cc. REQUIRES: it is a ResNetShape.
std::unique_ptr<VisionTower> MakeResNetTower(const WeightLoader& loader);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_VISION_TOWER_H_
