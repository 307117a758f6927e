// vit_tower.cc's tower for the CPU, in any CpuPrecision.
#include <ATen/Parallel.h>

#include <cstring>

#include "clip/torch/cpu_transformer.h"
#include "clip/torch/vision_tower.h"

namespace clip {
namespace {

// The patch embedding as a matrix product over bytes: what the reference does
// to pixels before it, (byte / 255 - mean) / std, is linear and goes into
// weight and bias. Bytes are taken less 128, which is small and exact in every
// type. A patch is a row [patch, patch, 3], as a crop has it.
class PatchEmbedding {
 public:
  PatchEmbedding(const WeightLoader& loader, int64_t patch,
                 CpuPrecision precision)
      : patch_(patch) {
    const Architecture& all = loader.architecture();
    const auto channels = [](const std::array<float, 3>& values) {
      return at::tensor(at::ArrayRef<float>(values)).to(at::kDouble);
    };
    const at::Tensor std = channels(all.std), mean = channels(all.mean);
    // [width, 3, patch, patch] to [width, patch, patch, 3].
    const at::Tensor weight = loader.Float("visual.conv1.weight")
                                  .to(at::kDouble)
                                  .permute({0, 2, 3, 1});
    const at::Tensor scaled = weight / (255 * std);
    const at::Tensor bias =
        (scaled * (128 - 255 * mean)).sum(at::IntArrayRef{1, 2, 3});
    product_ = PackedLinear(scaled.flatten(1).contiguous().to(at::kFloat),
                            bias.to(at::kFloat), precision);
  }

  // Crops [n, size, size, 3] to rows [n * grid * grid, width].
  Rows operator()(const at::Tensor& crops) const {
    const int64_t n = crops.size(0), grid = crops.size(1) / patch_;
    Rows patches = product_.Input(n * grid * grid);
    if (patches.scales.defined()) patches.scales.fill_(1);
    switch (patches.data.scalar_type()) {
      case at::kByte:
        Gather<uint8_t>(crops, grid, patches.data);
        break;
      case at::kBFloat16:
        Gather<at::BFloat16>(crops, grid, patches.data);
        break;
      default:
        Gather<float>(crops, grid, patches.data);
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
  void Gather(const at::Tensor& crops, int64_t grid,
              const at::Tensor& patches) const {
    const int64_t line = 3 * patch_;
    const uint8_t* from = crops.data_ptr<uint8_t>();
    T* to = patches.data_ptr<T>();
    at::parallel_for(
        0, crops.size(0) * grid, 1, [&](int64_t begin, int64_t end) {
          // Rows of patches, each `patch_` lines of the crop.
          for (int64_t row = begin; row < end; ++row) {
            for (int64_t y = 0; y < patch_; ++y) {
              for (int64_t x = 0; x < grid; ++x) {
                const uint8_t* source =
                    from + ((row * patch_ + y) * grid + x) * line;
                T* target = to + ((row * grid + x) * patch_ + y) * line;
                for (int64_t i = 0; i < line; ++i) Shift(source[i], target + i);
              }
            }
          }
        });
  }

  const int64_t patch_;
  PackedLinear product_;
};

class CpuVitTower : public VisionTower {
 public:
  CpuVitTower(const WeightLoader& loader, const VitShape& shape,
              CpuPrecision precision)
      : heads_(shape.transformer.heads),
        patches_(loader, shape.patch, precision),
        class_embedding_(loader.Float("visual.class_embedding")),
        positions_(loader.Float("visual.positional_embedding")),
        ln_pre_(loader, "visual.ln_pre", shape.transformer.norm_epsilon),
        transformer_(loader, "visual.transformer", shape.transformer,
                     "visual.ln_post", precision),
        proj_(loader.Float("visual.proj")) {}

  at::Tensor Encode(const at::Tensor& crops) const override {
    const int64_t n = crops.size(0), length = positions_.size(0),
                  width = positions_.size(1);
    const Rows patches = patches_(crops);
    const at::Tensor embedded =
        at::empty({n * (length - 1), width}, at::kFloat);
    ConvertRows(patches, {embedded, {}, {}});
    const at::Tensor x = at::empty({n, length, width}, at::kFloat);
    x.select(1, 0).copy_(class_embedding_ + positions_[0]);
    at::Tensor places = x.narrow(1, 1, length - 1);
    at::add_out(places, embedded.view({n, length - 1, width}),
                positions_.narrow(0, 1, length - 1));
    const at::Tensor pooled = transformer_.Run(
        ln_pre_(x).flatten(0, 1), at::arange(0, n * length, length),
        [&](const at::Tensor& queries, const at::Tensor& keys,
            const at::Tensor& values, bool, const Rows& out) {
          // [rows, width], strided, to [n, heads, rows / n, head width].
          const auto heads = [&](const at::Tensor& rows) {
            return rows.unflatten(1, {heads_, width / heads_})
                .unflatten(0, {n, rows.size(0) / n})
                .transpose(1, 2);
          };
          const at::Tensor mixed = at::scaled_dot_product_attention(
              heads(queries), heads(keys), heads(values));
          ConvertRows({mixed.transpose(1, 2).reshape({-1, width}), {}, {}},
                      out);
        });
    return at::matmul(pooled, proj_);
  }

 private:
  const int64_t heads_;
  const PatchEmbedding patches_;
  const at::Tensor class_embedding_;  // [width]
  const at::Tensor positions_;        // [1 + grid * grid, width]
  const LayerNorm ln_pre_;
  const CpuTransformer transformer_;
  const at::Tensor proj_;  // [width, embedding_dim]
};

}  // namespace

std::unique_ptr<VisionTower> MakeCpuVitTower(const WeightLoader& loader,
                                             CpuPrecision precision) {
  return std::make_unique<CpuVitTower>(
      loader, std::get<VitShape>(loader.architecture().vision), precision);
}

}  // namespace clip
