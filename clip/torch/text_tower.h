// Token sequences to embeddings (openai/CLIP's model.py, encode_text).
#ifndef ZEROSHOT_CLIP_TORCH_TEXT_TOWER_H_
#define ZEROSHOT_CLIP_TORCH_TEXT_TOWER_H_

#include <ATen/ATen.h>

#include <cstdint>

#include "absl/types/span.h"
#include "clip/torch/transformer.h"

namespace clip {

// Thread rule: const after construction.
class TextTower {
 public:
  explicit TextTower(const WeightLoader& loader);

  // Sequences of at most `length` tokens, each pooled at its last one (see
  // PlanText), to embeddings [n, embedding_dim]. Shorter ones are padded: the
  // tower is causal, so what follows a token does not change it.
  at::Tensor Encode(absl::Span<const absl::Span<const int32_t>> sequences,
                    int64_t length) const;

 private:
  const at::Device device_;
  const at::Tensor tokens_;     // [vocabulary, width]
  const at::Tensor positions_;  // [context, width]
  const Transformer transformer_;
  const LayerNorm ln_final_;
  const at::Tensor projection_;  // [width, embedding_dim]
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_TEXT_TOWER_H_
