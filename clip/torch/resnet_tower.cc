// openai/CLIP's model.py, classes ModifiedResNet, Bottleneck, AttentionPool2d.
#include <vector>

#include "absl/strings/str_cat.h"
#include "clip/torch/convolution.h"
#include "clip/torch/vision_tower.h"

namespace clip {
namespace {

// Where ResNet would stride a convolution, this one averages.
class Bottleneck {
 public:
  Bottleneck(const WeightLoader& loader, const std::string& name,
             int64_t stride, bool downsample)
      : stride_(stride),
        conv1_(loader, name + "conv1", name + "bn1"),
        conv2_(loader, name + "conv2", name + "bn2"),
        conv3_(loader, name + "conv3", name + "bn3") {
    if (downsample)
      downsample_.emplace_back(loader, name + "downsample.0",
                               name + "downsample.1");
  }

  at::Tensor operator()(const at::Tensor& x) const {
    at::Tensor y = conv1_(x).relu_();
    y = Pool(conv2_(y).relu_());
    y = conv3_(y);
    return y.add_(downsample_.empty() ? x : downsample_[0](Pool(x))).relu_();
  }

 private:
  at::Tensor Pool(const at::Tensor& x) const {
    return stride_ == 1 ? x : at::avg_pool2d(x, stride_);
  }

  const int64_t stride_;
  const Convolution conv1_, conv2_, conv3_;
  std::vector<Convolution> downsample_;  // one or none
};

// Attention with the mean over all places as the only query.
class AttentionPool {
 public:
  AttentionPool(const WeightLoader& loader, int64_t heads)
      : heads_(heads),
        positions_(loader.Matrix("visual.attnpool.positional_embedding")),
        query_(loader, "visual.attnpool.q_proj"),
        key_(loader, "visual.attnpool.k_proj"),
        value_(loader, "visual.attnpool.v_proj"),
        proj_(loader, "visual.attnpool.c_proj") {}

  // [n, features, grid, grid] to [n, embedding_dim].
  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor places = x.permute({0, 2, 3, 1}).flatten(1, 2);
    const at::Tensor tokens =
        at::cat({places.mean(/*dim=*/1, /*keepdim=*/true), places}, 1) +
        positions_;
    const at::Tensor mixed = at::scaled_dot_product_attention(
        Heads(query_(tokens.narrow(1, 0, 1))), Heads(key_(tokens)),
        Heads(value_(tokens)));
    return proj_(mixed.transpose(1, 2).flatten(1));
  }

 private:
  // [n, length, features] to [n, heads, length, features / heads].
  at::Tensor Heads(const at::Tensor& x) const {
    return x.view({x.size(0), x.size(1), heads_, x.size(2) / heads_})
        .transpose(1, 2);
  }

  const int64_t heads_;
  const at::Tensor positions_;  // [1 + grid * grid, features]
  const Linear query_, key_, value_, proj_;
};

class ResNetTower : public VisionTower {
 public:
  ResNetTower(const WeightLoader& loader, const ResNetShape& shape)
      : normalize_(loader),
        conv1_(loader, "visual.conv1", "visual.bn1", /*stride=*/2),
        conv2_(loader, "visual.conv2", "visual.bn2"),
        conv3_(loader, "visual.conv3", "visual.bn3"),
        pool_(loader, shape.heads) {
    for (int stage = 0; stage < 4; ++stage) {
      for (int i = 0; i < shape.blocks[stage]; ++i) {
        const int64_t stride = i == 0 && stage > 0 ? 2 : 1;
        blocks_.emplace_back(
            loader, absl::StrCat("visual.layer", stage + 1, ".", i, "."),
            stride,
            /*downsample=*/i == 0);
      }
    }
  }

  at::Tensor Encode(const at::Tensor& crops) const override {
    at::Tensor x = conv1_(normalize_(crops)).relu_();
    x = conv2_(x).relu_();
    x = at::avg_pool2d(conv3_(x).relu_(), 2);
    for (const Bottleneck& block : blocks_) x = block(x);
    return pool_(x);
  }

 private:
  const Normalize normalize_;
  const Convolution conv1_, conv2_, conv3_;
  std::vector<Bottleneck> blocks_;
  const AttentionPool pool_;
};

}  // namespace

std::unique_ptr<VisionTower> MakeResNetTower(const WeightLoader& loader) {
  return std::make_unique<ResNetTower>(
      loader, std::get<ResNetShape>(loader.architecture().vision));
}

}  // namespace clip
