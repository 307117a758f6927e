#include "clip/torch/cpu_transformer.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace clip {
namespace {

// Rows too few to be worth another thread.
constexpr int64_t kRowsPerThread = 8;
// Of a query and a key, with one head.
constexpr int64_t kPairsPerThread = 4096;

// Finished values: scales and bias applied.
at::Tensor Finished(const Rows& rows) {
  if (!rows.scales.defined() && !rows.bias.defined()) return rows.data;
  ConvertRows(rows, {rows.data, {}, {}});
  return rows.data;
}

void AddNormInto(const at::Tensor& x, const Rows* delta, const LayerNorm& norm,
                 const Rows& out) {
  const int64_t width = x.size(1);
  const RowsIn in = delta == nullptr ? RowsIn() : delta->in();
  ForRows(x.size(0), width, [&](int64_t begin, int64_t end, float* scratch) {
    TowerKernels::Best().add_norm(
        x.data_ptr<float>(), delta == nullptr ? nullptr : &in,
        norm.weight.data_ptr<float>(), norm.bias.data_ptr<float>(),
        static_cast<float>(norm.epsilon), out.out(), width, begin, end,
        scratch);
  });
}

// x += delta (unless null); its norm, as `next` reads it.
Rows AddNorm(const at::Tensor& x, const Rows* delta, const LayerNorm& norm,
             const PackedLinear& next) {
  Rows out = next.Input(x.size(0));
  AddNormInto(x, delta, norm, out);
  return out;
}

// x as `next` reads it.
Rows Converted(const at::Tensor& x, const PackedLinear& next) {
  Rows out = next.Input(x.size(0));
  ConvertRows({x, {}, {}}, out);
  return out;
}

}  // namespace

void ForRows(int64_t n, int64_t floats,
             const std::function<void(int64_t, int64_t, float*)>& work) {
  at::parallel_for(0, n, kRowsPerThread, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(floats);
    work(begin, end, scratch.data());
  });
}

void ConvertRows(const Rows& from, const Rows& to) {
  const int64_t width = from.data.size(1);
  ForRows(from.data.size(0), width,
          [&](int64_t begin, int64_t end, float* scratch) {
            TowerKernels::Best().convert(from.in(), to.out(), width, begin, end,
                                         scratch);
          });
}

void AddRows(const Rows& rows, const at::Tensor& x) {
  const at::Tensor floats = at::empty_like(x);
  ConvertRows(rows, {floats, {}, {}});
  x.add_(floats);
}

Attention WithinSequences(std::vector<SequencesOf> runs, int64_t heads) {
  int64_t sequences = 0;
  for (const SequencesOf& run : runs) sequences += run.count;
  return [runs = std::move(runs), sequences, heads](
             const at::Tensor& queries, const at::Tensor& keys,
             const at::Tensor& values, bool kept, const Rows& out) {
    const int64_t width = queries.size(1);
    // Scales are of rows, of which a head has a part only.
    const Rows mixed =
        out.scales.defined()
            ? Rows{at::empty(out.data.sizes(), at::kFloat), {}, {}}
            : out;
    int64_t query = 0, key = 0;  // rows before the run's
    for (const SequencesOf& run : runs) {
      const int64_t asking = kept ? queries.size(0) / sequences : run.length;
      const auto part = [&](const at::Tensor& rows, int64_t first, int64_t of) {
        return Rows{rows.narrow(0, first, run.count * of), {}, {}};
      };
      const SequenceAttention attention = {
          part(queries, query, asking).in(),
          part(keys, key, run.length).in(),
          part(values, key, run.length).in(),
          run.count,
          asking,
          run.length,
          heads,
          part(mixed.data, query, asking).out()};
      const int64_t work = SequenceAttention::kBlock * run.length;
      at::parallel_for(0, attention.blocks(),
                       std::max<int64_t>(1, kPairsPerThread / work),
                       [&](int64_t begin, int64_t end) {
                         std::vector<float> scratch(attention.scratch(width));
                         TowerKernels::Best().attend_within(
                             attention, width, begin, end, scratch.data());
                       });
      query += run.count * asking;
      key += run.count * run.length;
    }
    if (out.scales.defined()) ConvertRows(mixed, out);
  };
}

CpuMlp::CpuMlp(const WeightLoader& loader, const std::string& norm,
               const std::string& name, double epsilon, Activation activation,
               bool gated, CpuPrecision precision, bool keeps_norm)
    : norm_(loader, norm, epsilon),
      fc_(loader.Float(name + "c_fc.weight"), loader.Float(name + "c_fc.bias"),
          precision, gated ? std::nullopt : std::optional(activation)),
      proj_(fc_.factor() == 1
                ? loader.Float(name + "c_proj.weight")
                : loader.Float(name + "c_proj.weight") / fc_.factor(),
            loader.Float(name + "c_proj.bias"), precision),
      activation_(activation),
      inner_norm_(gated ? LayerNorm(loader, name + "norm", epsilon)
                        : LayerNorm()),
      keeps_norm_(keeps_norm) {}

Rows CpuMlp::operator()(const at::Tensor& x, const Rows& delta) const {
  if (keeps_norm_) AddNormInto(x, &delta, norm_, {x, {}, {}});
  const Rows hidden =
      fc_(keeps_norm_ ? Converted(x, fc_) : AddNorm(x, &delta, norm_, fc_));
  if (fc_.activates()) return proj_(hidden);
  const int64_t width = hidden.data.size(1);
  if (inner_norm_.weight.defined()) {
    const at::Tensor both = at::empty({hidden.data.size(0), width}, at::kFloat);
    ConvertRows(hidden, {both, {}, {}});
    const auto halves = both.chunk(2, /*dim=*/1);
    return proj_(AddNorm(at::silu(halves[0]).mul_(halves[1]), nullptr,
                         inner_norm_, proj_));
  }
  Rows active = proj_.Input(hidden.data.size(0));
  ForRows(hidden.data.size(0), width,
          [&](int64_t begin, int64_t end, float* scratch) {
            TowerKernels::Best().activate(activation_, hidden.in(),
                                          active.out(), width, begin, end,
                                          scratch);
          });
  return proj_(active);
}

CpuTransformer::CpuTransformer(const WeightLoader& loader,
                               const std::string& prefix,
                               const TransformerShape& shape,
                               const std::string& norm, bool keeps_some,
                               CpuPrecision precision)
    : shape_(shape),
      precision_(precision),
      norm_(norm.empty() ? LayerNorm()
                         : LayerNorm(loader, norm, shape.norm_epsilon)) {
  for (int layer = 0; layer < shape.layers; ++layer) {
    blocks_.push_back(MakeBlock(loader,
                                absl::StrCat(prefix, ".resblocks.", layer, "."),
                                keeps_some && layer == shape.layers - 1));
  }
}

CpuTransformer::Block CpuTransformer::MakeBlock(const WeightLoader& loader,
                                                const std::string& name,
                                                bool keeps_some) const {
  Block block;
  block.keeps_some = keeps_some;
  const bool after = shape_.norm_after;
  block.norm =
      LayerNorm(loader, name + (after ? "ln_2" : "ln_1"), shape_.norm_epsilon);
  block.out =
      PackedLinear(loader.Float(name + "attn.out_proj.weight"),
                   loader.Float(name + "attn.out_proj.bias"), precision_);
  if (shape_.gated)
    block.attn_norm =
        LayerNorm(loader, name + "attn.norm", shape_.norm_epsilon);
  block.mlp = CpuMlp(loader, name + (after ? "ln_1" : "ln_2"), name + "mlp.",
                     shape_.norm_epsilon, shape_.activation, shape_.gated,
                     precision_, /*keeps_norm=*/after);
  const at::Tensor weight = loader.Float(name + "attn.in_proj_weight"),
                   bias = loader.Float(name + "attn.in_proj_bias");
  const auto part = [&](int64_t begin, int64_t count) {
    return PackedLinear(
        weight.narrow(0, begin * shape_.width, count * shape_.width)
            .contiguous(),
        bias.narrow(0, begin * shape_.width, count * shape_.width).contiguous(),
        precision_);
  };
  if (keeps_some) {
    block.query = part(0, 1);
    block.key_value = part(1, 2);
  } else {
    block.query_key_value = part(0, 3);
  }
  return block;
}

at::Tensor CpuTransformer::Run(at::Tensor x, const at::Tensor& kept,
                               const Attention& attention,
                               const at::Tensor& which) const {
  const int64_t width = shape_.width;
  const auto part = [&](const at::Tensor& rows, int64_t index) {
    return rows.narrow(1, index * width, width);
  };
  Rows hidden = shape_.norm_after
                    ? Converted(x, blocks_[0].input())
                    : AddNorm(x, nullptr, blocks_[0].norm, blocks_[0].input());
  for (size_t layer = 0; layer < blocks_.size(); ++layer) {
    const Block& block = blocks_[layer];
    const bool one_each = layer > 0 || !which.defined();
    at::Tensor input = Finished(block.input()(hidden));
    if (!one_each) input = input.index_select(0, which);
    const int64_t rows_out = block.keeps_some ? kept.size(0) : input.size(0);
    Rows mixed = shape_.gated
                     ? Rows{at::empty({rows_out, width}, at::kFloat), {}, {}}
                     : block.out.Input(rows_out);
    if (block.keeps_some) {
      const at::Tensor rows = one_each ? kept : which.index_select(0, kept);
      attention(Finished(block.query(hidden.Select(rows))), part(input, 0),
                part(input, 1), true, mixed);
      x = x.index_select(0, rows);
    } else {
      attention(part(input, 0), part(input, 1), part(input, 2), false, mixed);
      if (!one_each) x = x.index_select(0, which);
    }
    if (shape_.gated)
      mixed = AddNorm(mixed.data, nullptr, block.attn_norm, block.out);
    const Rows update = block.mlp(x, block.out(mixed));
    if (shape_.norm_after) {
      AddNormInto(x, &update, block.norm, {x, {}, {}});
      if (layer + 1 < blocks_.size())
        hidden = Converted(x, blocks_[layer + 1].input());
    } else if (layer + 1 < blocks_.size()) {
      const Block& next = blocks_[layer + 1];
      hidden = AddNorm(x, &update, next.norm, next.input());
    } else if (norm_.weight.defined()) {
      const at::Tensor normed = at::empty_like(x);
      AddNormInto(x, &update, norm_, {normed, {}, {}});
      return normed;
    } else {
      AddRows(update, x);
    }
  }
  return x;
}

}  // namespace clip
