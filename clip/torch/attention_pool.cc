#include "clip/torch/attention_pool.h"

#include <cmath>

namespace clip {

AttentionPool::AttentionPool(const WeightLoader& loader,
                             const std::string& name, int64_t heads,
                             const at::Tensor& query) {
  const int64_t width = query.size(0), head_width = width / heads;
  const auto weight_of = [&](int64_t part) {
    if (!loader.Has(name + "in_proj_weight"))
      return loader.Float(name + "qkv"[part] + "_proj_weight");
    return loader.Float(name + "in_proj_weight").narrow(0, part * width, width);
  };
  const at::Tensor bias = loader.Float(name + "in_proj_bias"),
                   weight = weight_of(2);
  const int64_t token_width = weight.size(1);
  const at::Tensor asked =
      at::mv(weight_of(0).to(at::kDouble), query.to(at::kDouble)) +
      bias.narrow(0, 0, width).to(at::kDouble);
  // By head: its rows of the keys' weight, each times its part of the query.
  const at::Tensor keys = (weight_of(1).to(at::kDouble) * asked.unsqueeze(1))
                              .view({heads, head_width, token_width})
                              .sum(/*dim=*/1) /
                          std::sqrt(static_cast<double>(head_width));
  queries_ = loader.ToDevice(keys.t().contiguous().to(at::kFloat));
  values_ = loader.ToDevice(weight.view({heads, head_width, token_width})
                                .transpose(1, 2)
                                .contiguous());
  bias_ = loader.ToDevice(bias.narrow(0, 2 * width, width));
}

at::Tensor AttentionPool::operator()(const at::Tensor& tokens) const {
  const at::Tensor weights = at::matmul(tokens, queries_)
                                 .to(at::kFloat)
                                 .softmax(/*dim=*/1)
                                 .to(tokens.scalar_type());
  // [heads, n, width], then [heads, n, head width].
  const at::Tensor mixed =
      at::bmm(weights.transpose(1, 2), tokens).transpose(0, 1);
  return at::bmm(mixed, values_).transpose(0, 1).reshape({tokens.size(0), -1}) +
         bias_;
}

namespace {

// The first query behind its norm.
at::Tensor FirstQuery(const WeightLoader& loader, double epsilon) {
  const at::Tensor query = loader.Float("visual.attn_pool.query")[0];
  return at::layer_norm(query, query.sizes(),
                        loader.Float("visual.attn_pool.ln_q.weight"),
                        loader.Float("visual.attn_pool.ln_q.bias"), epsilon);
}

}  // namespace

FirstQueryPool::FirstQueryPool(const WeightLoader& loader,
                               const VitShape& shape)
    : pool_(loader, "visual.attn_pool.attn.", shape.pool_heads,
            FirstQuery(loader, shape.transformer.norm_epsilon)),
      out_(loader, "visual.attn_pool.attn.out_proj"),
      norm_(loader, "visual.ln_post", shape.transformer.norm_epsilon) {}

}  // namespace clip
