// vit_tower.cc's tower for CUDA, in fp16, bf16 or fp32.
#include "clip/torch/cuda/cuda_transformer.h"
#include "clip/torch/cuda/kernels.h"
#include "clip/torch/cuda/queue.h"
#include "clip/torch/vision_tower.h"

namespace clip {
namespace {

constexpr int kMinPatch = 3;  // kernels.h

// [width, 3, patch, patch] to rows in the order of a crop's bytes, which zeros
// pad to `row`.
at::Tensor PatchWeight(const at::Tensor& weight, int64_t row) {
  const at::Tensor rows = weight.permute({0, 2, 3, 1}).flatten(1).contiguous();
  return at::constant_pad_nd(rows, {0, row - rows.size(1)});
}

class CudaVitTower : public VisionTower {
 public:
  CudaVitTower(const WeightLoader& loader, const VitShape& shape)
      : size_(loader.architecture().image_size),
        patch_(shape.patch),
        heads_(shape.transformer.heads),
        mean_(loader.architecture().mean),
        std_(loader.architecture().std),
        type_(loader.compute().dtype),
        patch_weight_(loader.ToDevice(PatchWeight(
            loader.Float("visual.conv1.weight"), PatchRowWidth(patch_)))),
        class_embedding_(loader.Vector("visual.class_embedding")),
        positions_(loader.Vector("visual.positional_embedding")),
        ln_pre_(loader, "visual.ln_pre", shape.transformer.norm_epsilon),
        transformer_(loader, "visual.transformer", shape.transformer,
                     "visual.ln_post"),
        proj_(loader.Matrix("visual.proj")) {}

  at::Tensor Encode(const at::Tensor& crops) const override {
    const int64_t n = crops.size(0), length = positions_.size(0),
                  width = positions_.size(1), patches = length - 1;
    const cudaStream_t stream = CurrentStream();
    const auto empty = [&](int64_t rows, int64_t columns, at::ScalarType type) {
      return at::empty({rows, columns}, positions_.options().dtype(type));
    };
    const at::Tensor x = empty(n * length, width, at::kFloat);
    {
      const at::Tensor pixels =
          empty(n * patches, patch_weight_.size(1), type_);
      CheckCuda(PatchRows(HalfOf(type_), crops.data_ptr<uint8_t>(), n, size_,
                          patch_, mean_.data(), std_.data(), pixels.data_ptr(),
                          stream));
      const at::Tensor products = at::mm(pixels, patch_weight_.t());
      CheckCuda(AssembleTokens(
          HalfOf(type_), products.data_ptr(),
          class_embedding_.data_ptr<float>(), positions_.data_ptr<float>(),
          WeightsOf(ln_pre_), n, static_cast<int>(patches),
          static_cast<int>(width), x.data_ptr<float>(), stream));
    }
    // Each image's class token.
    const at::Tensor kept =
        at::arange(0, n * length, length, x.options().dtype(at::kInt));
    const at::Tensor pooled = transformer_.Run(
        x, kept,
        [&](const at::Tensor& queries, const at::Tensor& keys,
            const at::Tensor& values, bool) {
          // Views [n, heads, rows / n, head width], as flash attention takes
          // them; what it returns has its rows' heads side by side again.
          const auto heads = [&](const at::Tensor& rows) {
            return rows.unflatten(1, {heads_, width / heads_})
                .unflatten(0, {n, rows.size(0) / n})
                .transpose(1, 2);
          };
          return at::scaled_dot_product_attention(heads(queries), heads(keys),
                                                  heads(values))
              .transpose(1, 2)
              .reshape({queries.size(0), width});
        });
    return at::mm(pooled, proj_);
  }

 private:
  const int size_;
  const int patch_;
  const int64_t heads_;
  const std::array<float, 3> mean_, std_;
  const at::ScalarType type_;
  const at::Tensor patch_weight_;     // [width, PatchRowWidth(patch)]
  const at::Tensor class_embedding_;  // [width] float32
  const at::Tensor positions_;        // [1 + grid * grid, width] float32
  const LayerNorm ln_pre_;
  const CudaTransformer transformer_;
  const at::Tensor proj_;  // [width, embedding_dim]
};

}  // namespace

std::unique_ptr<VisionTower> MakeCudaVitTower(const WeightLoader& loader) {
  const VitShape& shape = std::get<VitShape>(loader.architecture().vision);
  // What our kernels put together is CLIP's tower only.
  const bool clips = shape.class_token && shape.class_position && !shape.stem &&
                     !shape.rotary.used && !shape.transformer.gated &&
                     shape.norm_before && !shape.patch_bias &&
                     shape.pool == VitPool::kClass && shape.projection.used &&
                     !shape.projection.bias && shape.projection.hidden == 0 &&
                     loader.architecture().image_size % shape.patch == 0;
  if (!clips || !KernelsTake(shape.transformer) || shape.patch < kMinPatch)
    return nullptr;
  return std::make_unique<CudaVitTower>(loader, shape);
}

}  // namespace clip
