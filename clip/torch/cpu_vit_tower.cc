// vit_tower.cc's tower for the CPU, in any CpuPrecision.
#include <ATen/Parallel.h>

#include <cstring>
#include <optional>

#include "clip/torch/attention_pool.h"
#include "clip/torch/cpu_transformer.h"
#include "clip/torch/patch_stem.h"
#include "clip/torch/rotary.h"
#include "clip/torch/vision_tower.h"

namespace clip {
namespace {

// The patch embedding as a matrix product over bytes: what the reference does
// to pixels before it, (byte / 255 - mean) / std, is linear and goes into
// weight and bias. Bytes are taken less 128, which is small and exact in every
// type. A patch is a row [patch, patch, 3], as a crop has it.
class PatchEmbedding {
 public:
  PatchEmbedding(const WeightLoader& loader, const VitShape& shape,
                 CpuPrecision precision)
      : patch_(shape.patch) {
    const Architecture& all = loader.architecture();
    const auto channels = [](const std::array<float, 3>& values) {
      return at::tensor(at::ArrayRef<float>(values)).to(at::kDouble);
    };
    const at::Tensor std = channels(all.std), mean = channels(all.mean);
    // [width, 3, patch, patch] to [width, patch, patch, 3].
    const at::Tensor weight =
        PatchWeight(loader, shape).to(at::kDouble).permute({0, 2, 3, 1});
    const at::Tensor scaled = weight / (255 * std);
    at::Tensor bias =
        (scaled * (128 - 255 * mean)).sum(at::IntArrayRef{1, 2, 3});
    if (shape.patch_bias) bias += loader.Float("visual.conv1.bias");
    product_ = PackedLinear(scaled.flatten(1).contiguous().to(at::kFloat),
                            bias.to(at::kFloat), precision);
  }

  // Crops [n, height, width, 3] to rows, of all patches of an image in turn.
  Rows operator()(const at::Tensor& crops) const {
    Rows patches = product_.Input(crops.size(0) * (crops.size(1) / patch_) *
                                  (crops.size(2) / patch_));
    if (patches.scales.defined()) patches.scales.fill_(1);
    switch (patches.data.scalar_type()) {
      case at::kByte:
        Gather<uint8_t>(crops, patches.data);
        break;
      case at::kBFloat16:
        Gather<at::BFloat16>(crops, patches.data);
        break;
      default:
        Gather<float>(crops, patches.data);
    }
    return product_(patches);
  }

 private:
  static void Shift(uint8_t byte, uint8_t* to) { *to = byte; }  // zero: 128
  static void Shift(uint8_t byte, float* to) { *to = byte - 128; }
  static void Shift(uint8_t byte, at::BFloat16* to) {
    // Small integers: the upper half of a float is exact.
    const float value = byte - 128;
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    to->x = static_cast<uint16_t>(bits >> 16);
  }

  template <typename T>
  void Gather(const at::Tensor& crops, const at::Tensor& patches) const {
    const int64_t line = 3 * patch_, height = crops.size(1),
                  width = crops.size(2), grid = height / patch_,
                  columns = width / patch_;
    const uint8_t* from = crops.data_ptr<uint8_t>();
    T* to = patches.data_ptr<T>();
    at::parallel_for(
        0, crops.size(0) * grid, 1, [&](int64_t begin, int64_t end) {
          // Rows of patches, each `patch_` lines of the crop.
          for (int64_t row = begin; row < end; ++row) {
            const int64_t first = row / grid * height + row % grid * patch_;
            for (int64_t y = 0; y < patch_; ++y) {
              for (int64_t x = 0; x < columns; ++x) {
                const uint8_t* source =
                    from + (first + y) * width * 3 + x * line;
                T* target = to + ((row * columns + x) * patch_ + y) * line;
                for (int64_t i = 0; i < line; ++i) Shift(source[i], target + i);
              }
            }
          }
        });
  }

  const int64_t patch_;
  PackedLinear product_;
};

// vit_tower.cc's PoolingHead.
class CpuPoolingHead {
 public:
  CpuPoolingHead(const WeightLoader& loader, const VitShape& shape,
                 CpuPrecision precision)
      : pool_(loader.InFloat32(), "visual.attn_pool.attn.", shape.pool_heads,
              loader.Float("visual.attn_pool.probe")),
        out_(loader.Float("visual.attn_pool.attn.out_proj.weight"),
             loader.Float("visual.attn_pool.attn.out_proj.bias"), precision),
        mlp_(loader, "visual.attn_pool.layernorm", "visual.attn_pool.mlp.",
             shape.transformer.norm_epsilon, shape.pool_activation,
             /*gated=*/false, precision) {}

  // Tokens [n, length, width] to [n, width], float32.
  at::Tensor operator()(const at::Tensor& tokens) const {
    const at::Tensor mixed = pool_(tokens), x = at::zeros_like(mixed);
    const Rows in = out_.Input(mixed.size(0));
    ConvertRows({mixed, {}, {}}, in);
    AddRows(mlp_(x, out_(in)), x);
    return x;
  }

 private:
  const AttentionPool pool_;
  const PackedLinear out_;
  const CpuMlp mlp_;
};

class CpuVitTower : public VisionTower {
 public:
  CpuVitTower(const WeightLoader& loader, const VitShape& shape,
              CpuPrecision precision)
      : shape_(shape),
        positions_(loader.Float("visual.positional_embedding")),
        transformer_(loader, "visual.transformer", shape.transformer,
                     shape.pool == VitPool::kMean ? "" : NormBehind(shape),
                     /*keeps_some=*/shape.pool == VitPool::kClass, precision),
        projection_(loader.InFloat32(), "visual.proj") {
    const double epsilon = shape.transformer.norm_epsilon;
    if (shape.stem) {
      stem_.emplace(loader.InFloat32());
    } else {
      patches_.emplace(loader, shape, precision);
    }
    if (shape.rotary.used) rotary_.emplace(loader, shape);
    if (shape.class_token) {
      class_token_ = loader.Float("visual.class_embedding");
      if (shape.class_position) {
        class_token_ = class_token_ + positions_[0];
        positions_ = positions_.narrow(0, 1, positions_.size(0) - 1);
      }
    }
    if (shape.norm_before)
      ln_pre_ = LayerNorm(loader, "visual.ln_pre", epsilon);
    if (shape.pool == VitPool::kMean)
      ln_post_ = LayerNorm(loader, "visual.ln_post", epsilon);
    if (shape.pool == VitPool::kAttention)
      head_.emplace(loader, shape, precision);
    if (shape.pool == VitPool::kQueries)
      queries_.emplace(loader.InFloat32(), shape);
  }

  at::Tensor Encode(const at::Tensor& crops) const override {
    const at::Tensor positions =
        shape_.any_grid
            ? ResizedPositions(positions_, crops.size(1) / shape_.patch,
                               crops.size(2) / shape_.patch)
            : positions_;
    const int64_t n = crops.size(0), patches = positions.size(0),
                  width = positions.size(1), first = shape_.class_token ? 1 : 0,
                  length = first + patches;
    at::Tensor embedded;
    if (stem_) {
      embedded = (*stem_)(crops);
    } else {
      embedded = at::empty({n, patches, width}, at::kFloat);
      ConvertRows((*patches_)(crops), {embedded.flatten(0, 1), {}, {}});
    }
    at::Tensor x = at::empty({n, length, width}, at::kFloat);
    if (shape_.class_token) x.select(1, 0).copy_(class_token_);
    at::Tensor places = x.narrow(1, first, patches);
    at::add_out(places, embedded, positions);
    if (shape_.norm_before) x = ln_pre_(x);
    // Each image's class token, or all rows.
    const at::Tensor kept = shape_.pool == VitPool::kClass
                                ? at::arange(0, n * length, length)
                                : at::Tensor();
    const Attention plain =
        WithinSequences({{n, length}}, shape_.transformer.heads);
    const auto turned = [&](const at::Tensor& queries, const at::Tensor& keys,
                            const at::Tensor& values, bool some,
                            const Rows& out) {
      // Kept are class tokens, which are not turned.
      if (!some) rotary_->Rotate(queries);
      rotary_->Rotate(keys);
      plain(queries, keys, values, some, out);
    };
    x = transformer_.Run(x.flatten(0, 1), kept,
                         rotary_ ? Attention(turned) : plain);
    if (shape_.pool == VitPool::kMean) {
      x = ln_post_(
          x.view({n, length, width}).narrow(1, first, patches).mean(/*dim=*/1));
    } else if (shape_.pool == VitPool::kAttention) {
      x = (*head_)(x.view({n, length, width}));
    } else if (shape_.pool == VitPool::kQueries) {
      x = (*queries_)(x.view({n, length, width}));
    }
    return projection_(x);
  }

 private:
  const VitShape shape_;
  std::optional<PatchEmbedding> patches_;
  std::optional<PatchStem> stem_;  // in its place
  std::optional<Rotary> rotary_;
  at::Tensor class_token_;  // [width], with its position
  at::Tensor positions_;    // [grid * grid, width]
  LayerNorm ln_pre_;
  const CpuTransformer transformer_;
  LayerNorm ln_post_;  // of kMean; others' is the transformer's
  std::optional<CpuPoolingHead> head_;
  std::optional<FirstQueryPool> queries_;
  const Projection projection_;
};

}  // namespace

std::unique_ptr<VisionTower> MakeCpuVitTower(const WeightLoader& loader,
                                             CpuPrecision precision) {
  return std::make_unique<CpuVitTower>(
      loader, std::get<VitShape>(loader.architecture().vision), precision);
}

}  // namespace clip
