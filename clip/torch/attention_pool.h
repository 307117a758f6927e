// Attention of one learned query to all tokens of an image, as SigLIP and CoCa
// pool them (timm's AttentionPoolLatent, transformers'
// SiglipMultiheadAttentionPoolingHead, open_clip's AttentionalPooler), up to
// the product behind it.
//
// The query is the same for every image, so that what keys and values do with
// it is known ahead. A head's score of a token is  q . (K x + b) / sqrt(d):
// x times a vector, K^T q / sqrt(d), and a number that softmax takes no notice
// of. Its weights sum to 1, so that it mixes tokens first and multiplies their
// sum with V once. That is a product with `heads` vectors in the place of one
// with two square matrices.
//
// Thread rule: const after construction.
#ifndef ZEROSHOT_CLIP_TORCH_ATTENTION_POOL_H_
#define ZEROSHOT_CLIP_TORCH_ATTENTION_POOL_H_

#include <ATen/ATen.h>

#include <string>

#include "clip/torch/tensors.h"

namespace clip {

class AttentionPool {
 public:
  // `query` [width], and the tensors `name`in_proj_bias and
  // `name`in_proj_weight or, of tokens of another width, `name`q_proj_weight
  // and so on.
  AttentionPool(const WeightLoader& loader, const std::string& name,
                int64_t heads, const at::Tensor& query);

  // Tokens [n, length, token width] of the compute type to [n, width].
  at::Tensor operator()(const at::Tensor& tokens) const;

 private:
  at::Tensor queries_;  // [token width, heads]
  at::Tensor values_;   // [heads, token width, width / heads]
  at::Tensor bias_;     // [width], the values'
};

// VitPool::kQueries, but for the norm of the tokens: of open_clip's
// AttentionalPooler, which answers all queries, the one that is looked at, and
// the norm behind it. Thread rule: const after construction.
class FirstQueryPool {
 public:
  FirstQueryPool(const WeightLoader& loader, const VitShape& shape);

  // Tokens [n, length, token width] of the compute type to [n, embedding_dim].
  at::Tensor operator()(const at::Tensor& tokens) const {
    return norm_(out_(pool_(tokens)));
  }

 private:
  const AttentionPool pool_;
  const Linear out_;
  const LayerNorm norm_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_ATTENTION_POOL_H_
