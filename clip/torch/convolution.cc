#include "clip/torch/convolution.h"

namespace clip {
namespace {

constexpr double kBatchNormEpsilon = 1e-5;

}  // namespace

Convolution::Convolution(const WeightLoader& loader,
                         const std::string& convolution,
                         const std::string& norm, int64_t stride, bool padding)
    : stride_(stride) {
  const at::Tensor kernel = loader.Float(convolution + ".weight");
  if (norm.empty()) {
    kernel_ = loader.ToDevice(kernel);
    bias_ = loader.Matrix(convolution + ".bias");
  } else {
    const at::Tensor scale =
        loader.Float(norm + ".weight") *
        at::rsqrt(loader.Float(norm + ".running_var") + kBatchNormEpsilon);
    kernel_ = loader.ToDevice(kernel * scale.view({-1, 1, 1, 1}));
    bias_ = loader.ToDevice(loader.Float(norm + ".bias") -
                            loader.Float(norm + ".running_mean") * scale);
  }
  // cuDNN's kernels for matrix units take channels last; given channels first
  // it transposes before and after each. The result has its kernel's order.
  if (kernel_.is_cuda())
    kernel_ = kernel_.contiguous(at::MemoryFormat::ChannelsLast);
  padding_ = padding ? kernel.size(2) / 2 : 0;
}

}  // namespace clip
