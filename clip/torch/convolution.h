// A convolution with the batch norm behind it folded in: with running
// statistics that is the affine map
//   y = (x - mean) / sqrt(var + epsilon) * gain + bias.
//
// Thread rule: const after construction.
#ifndef ZEROSHOT_CLIP_TORCH_CONVOLUTION_H_
#define ZEROSHOT_CLIP_TORCH_CONVOLUTION_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <string>

#include "clip/torch/tensors.h"

namespace clip {

class Convolution {
 public:
  // `norm` empty: the convolution has a bias instead. `padding`: to keep the
  // size at stride 1.
  Convolution(const WeightLoader& loader, const std::string& convolution,
              const std::string& norm, int64_t stride = 1, bool padding = true);

  at::Tensor operator()(const at::Tensor& x) const {
    return at::conv2d(x, kernel_, bias_, stride_, padding_);
  }

 private:
  at::Tensor kernel_;  // [out, in, k, k]
  at::Tensor bias_;    // [out]
  int64_t stride_;
  int64_t padding_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_CONVOLUTION_H_
