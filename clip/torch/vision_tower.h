// Crops to embeddings: the two kinds of vision tower.
#ifndef ZEROSHOT_CLIP_TORCH_VISION_TOWER_H_
#define ZEROSHOT_CLIP_TORCH_VISION_TOWER_H_

#include <ATen/ATen.h>

#include <memory>

#include "clip/torch/cpu_precision.h"
#include "clip/torch/tensors.h"

namespace clip {

// Thread rule: const after construction.
class VisionTower {
 public:
  virtual ~VisionTower() = default;

  // Crops [n, size, size, 3] uint8, on the tower's device, to embeddings
  // [n, embedding_dim]; of VitShape::any_grid [n, height, width, 3].
  virtual at::Tensor Encode(const at::Tensor& crops) const = 0;
};

// Crops to pixels [n, 3, size, size] in the compute type, as the reference's
// ToTensor and Normalize make them: in their order and in float32.
// Thread rule: const after construction.
class Normalize {
 public:
  explicit Normalize(const WeightLoader& loader);
  at::Tensor operator()(const at::Tensor& crops) const;

 private:
  const at::ScalarType dtype_;
  at::Tensor mean_;  // [3, 1, 1] float32, on the device
  at::Tensor std_;
};

// The norm of a ViT's tokens behind the last block, or of what is pooled of
// them.
inline const char* NormBehind(const VitShape& shape) {
  return shape.pool == VitPool::kQueries ? "visual.attn_pool.ln_k"
                                         : "visual.ln_post";
}

// The patch embedding's weight, float32 [width, 3, patch, patch] on the CPU.
at::Tensor PatchWeight(const WeightLoader& loader, const VitShape& shape);

// Positions [grid * grid, width] of VitShape::any_grid, float32 on the CPU, for
// another grid, as transformers' Siglip2VisionEmbeddings resizes them.
at::Tensor ResizedPositions(const at::Tensor& positions, int64_t rows,
                            int64_t columns);

// vit_tower.cc, on any device, and cpu_vit_tower.cc, on the CPU.
// REQUIRES: the architecture's vision is a VitShape.
std::unique_ptr<VisionTower> MakeVitTower(const WeightLoader& loader);
std::unique_ptr<VisionTower> MakeCpuVitTower(const WeightLoader& loader,
                                             CpuPrecision precision);
// cuda/cuda_vit_tower.cc, on CUDA, queued without waiting; null if our kernels
// do not take the tower's shape. REQUIRES: it is a VitShape.
std::unique_ptr<VisionTower> MakeCudaVitTower(const WeightLoader& loader);
// resnet_tower.cc, on any device. REQUIRES: it is a ResNetShape.
std::unique_ptr<VisionTower> MakeResNetTower(const WeightLoader& loader);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_VISION_TOWER_H_
