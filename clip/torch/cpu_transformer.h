// The transformer of transformer.h, for the CPU: weights packed once, the
// residual stream in float32, and between two matrix products one pass over
// rows that are still in the cache (clip/kernels/).
//
// Thread rule: const after construction.
#ifndef ZEROSHOT_CLIP_TORCH_CPU_TRANSFORMER_H_
#define ZEROSHOT_CLIP_TORCH_CPU_TRANSFORMER_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "clip/torch/packed_linear.h"
#include "clip/torch/tensors.h"

namespace clip {

// Rows of which each sees some others: how much of `values` [n, width] each of
// `queries` [m, width] takes, by its products with `keys` [n, width]; to rows
// [m, width], written into `out`. The three are float32 or bfloat16, alike,
// and may be parts of wider rows. `kept`: the queries are the rows that
// Run keeps.
using Attention =
    std::function<void(const at::Tensor& queries, const at::Tensor& keys,
                       const at::Tensor& values, bool kept, const Rows& out)>;

// Calls work(begin, end, scratch) for ranges that together are [0, n), on the
// CPU's threads; `scratch` has `floats` floats.
void ForRows(int64_t n, int64_t floats,
             const std::function<void(int64_t, int64_t, float*)>& work);

// Writes rows of one type as rows of another.
void ConvertRows(const Rows& from, const Rows& to);

class CpuTransformer {
 public:
  // `norm` names the layer norm behind the last block.
  CpuTransformer(const WeightLoader& loader, const std::string& prefix,
                 const TransformerShape& shape, const std::string& norm,
                 CpuPrecision precision);

  // x [n, width] float32, consumed, through all blocks and the norm; of the
  // result only the rows `kept` [m] (int64), which is all that the last block
  // then computes. Returns [m, width] float32.
  at::Tensor Run(at::Tensor x, const at::Tensor& kept,
                 const Attention& attention) const;

 private:
  struct Block {
    LayerNorm ln_1;
    PackedLinear query_key_value;  // below each other; not in the last block,
    PackedLinear query;            // which has these two instead
    PackedLinear key_value;
    PackedLinear out;
    LayerNorm ln_2;
    PackedLinear fc;
    PackedLinear proj;
  };

  Block MakeBlock(const WeightLoader& loader, const std::string& name,
                  bool last) const;
  // x += delta (unless null); its norm, as `next` reads it.
  Rows AddNorm(const at::Tensor& x, const Rows* delta, const LayerNorm& norm,
               const PackedLinear& next) const;
  Rows Mlp(const Block& block, const Rows& x) const;

  const TransformerShape shape_;
  const CpuPrecision precision_;
  const LayerNorm norm_;
  std::vector<Block> blocks_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_CPU_TRANSFORMER_H_
