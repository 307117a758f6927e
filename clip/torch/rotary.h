// Positions of an image's patches as rotations of their queries and keys (Su et
// al. 2021, in two dimensions): half of a head's pairs of neighbours turn with
// the patch's row, half with its column (timm's pos_embed_sincos.py).
//
// Thread rule: const after construction.
#ifndef ZEROSHOT_CLIP_TORCH_ROTARY_H_
#define ZEROSHOT_CLIP_TORCH_ROTARY_H_

#include <ATen/ATen.h>

#include <cstdint>

#include "clip/torch/tensors.h"

namespace clip {

class Rotary {
 public:
  // REQUIRES: the shape has rotary positions.
  Rotary(const WeightLoader& loader, const VitShape& shape);

  // Turns rows [n * length, any number of heads * head width] in place, which
  // may be parts of wider rows. A class token's are not turned.
  void Rotate(const at::Tensor& rows) const;

 private:
  template <typename T>
  void RotateOnCpu(const at::Tensor& rows) const;

  at::Tensor cos_, sin_;  // [length, head width / 2] float32
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_ROTARY_H_
