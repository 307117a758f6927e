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

// x [n, width] float32 += rows.
void AddRows(const Rows& rows, const at::Tensor& x);

// Sequences of equal length, in rows one after the other.
struct SequencesOf {
  int64_t count = 0;
  int64_t length = 0;
};

// Sequences, in this order, whose rows see all of their own.
Attention WithinSequences(std::vector<SequencesOf> runs, int64_t heads);

// What follows attention in a block: x += delta, and mlp(norm(x)), which is to
// be added to x too. Thread rule: const after construction.
class CpuMlp {
 public:
  CpuMlp() = default;
  // The norm by its name, and what is under `name`. `keeps_norm`: x becomes
  // norm(x).
  CpuMlp(const WeightLoader& loader, const std::string& norm,
         const std::string& name, double epsilon, Activation activation,
         bool gated, CpuPrecision precision, bool keeps_norm = false);

  // x [n, width] float32 gets its delta; returns the MLP's rows.
  Rows operator()(const at::Tensor& x, const Rows& delta) const;

 private:
  LayerNorm norm_;
  PackedLinear fc_, proj_;
  Activation activation_ = Activation::kQuickGelu;
  LayerNorm inner_norm_;  // its weight defined: gated
  bool keeps_norm_ = false;
};

class CpuTransformer {
 public:
  // `norm` names the layer norm behind the last block; empty: there is none.
  // With shape.norm_after x comes with its first norm.
  // `keeps_some`: Run is told which rows to keep; else it keeps all.
  CpuTransformer(const WeightLoader& loader, const std::string& prefix,
                 const TransformerShape& shape, const std::string& norm,
                 bool keeps_some, CpuPrecision precision);

  // x [n, width] float32, consumed, through all blocks and the norm; of the
  // result only the rows `kept` [m] (int64), which is all that the last block
  // then computes; undefined: all rows. Returns [m, width] float32.
  //
  // Where many rows begin alike, x may be the different ones only and `which`
  // [n] (int64) says which of them each row is: as far as its attention, the
  // first block is then computed for those. Undefined: x has all rows.
  at::Tensor Run(at::Tensor x, const at::Tensor& kept,
                 const Attention& attention,
                 const at::Tensor& which = {}) const;

 private:
  struct Block {
    // What reads the norm of all rows.
    const PackedLinear& input() const {
      return keeps_some ? key_value : query_key_value;
    }

    LayerNorm norm;  // before the attention; with norm_after behind the MLP
    bool keeps_some = false;
    PackedLinear query_key_value;  // below each other; not where only some rows
    PackedLinear query;            // are kept, which has these two instead
    PackedLinear key_value;
    LayerNorm attn_norm;  // if gated
    PackedLinear out;
    CpuMlp mlp;
  };

  Block MakeBlock(const WeightLoader& loader, const std::string& name,
                  bool keeps_some) const;
  const TransformerShape shape_;
  const CpuPrecision precision_;
  const LayerNorm norm_;  // its weight undefined: none
  std::vector<Block> blocks_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_CPU_TRANSFORMER_H_
