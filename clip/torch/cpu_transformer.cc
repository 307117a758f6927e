#include "clip/torch/cpu_transformer.h"

#include <ATen/Parallel.h>

#include "absl/strings/str_cat.h"

namespace clip {
namespace {

// Rows too few to be worth another thread.
constexpr int64_t kRowsPerThread = 8;

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

CpuTransformer::CpuTransformer(const WeightLoader& loader,
                               const std::string& prefix,
                               const TransformerShape& shape,
                               const std::string& norm, CpuPrecision precision)
    : shape_(shape),
      precision_(precision),
      norm_(loader, norm, shape.norm_epsilon) {
  for (int layer = 0; layer < shape.layers; ++layer) {
    blocks_.push_back(MakeBlock(loader,
                                absl::StrCat(prefix, ".resblocks.", layer, "."),
                                layer == shape.layers - 1));
  }
}

CpuTransformer::Block CpuTransformer::MakeBlock(const WeightLoader& loader,
                                                const std::string& name,
                                                bool last) const {
  const auto linear = [&](const std::string& part) {
    return PackedLinear(loader.Float(name + part + ".weight"),
                        loader.Float(name + part + ".bias"), precision_);
  };
  Block block;
  block.ln_1 = LayerNorm(loader, name + "ln_1", shape_.norm_epsilon);
  block.out = linear("attn.out_proj");
  block.ln_2 = LayerNorm(loader, name + "ln_2", shape_.norm_epsilon);
  block.fc = linear("mlp.c_fc");
  block.proj = linear("mlp.c_proj");
  const at::Tensor weight = loader.Float(name + "attn.in_proj_weight"),
                   bias = loader.Float(name + "attn.in_proj_bias");
  const auto part = [&](int64_t begin, int64_t count) {
    return PackedLinear(
        weight.narrow(0, begin * shape_.width, count * shape_.width)
            .contiguous(),
        bias.narrow(0, begin * shape_.width, count * shape_.width).contiguous(),
        precision_);
  };
  if (last) {
    block.query = part(0, 1);
    block.key_value = part(1, 2);
  } else {
    block.query_key_value = part(0, 3);
  }
  return block;
}

at::Tensor CpuTransformer::Run(at::Tensor x, const at::Tensor& kept,
                               const Attention& attention) const {
  const int64_t width = shape_.width;
  const auto part = [&](const at::Tensor& rows, int64_t index) {
    return rows.narrow(1, index * width, width);
  };
  Rows hidden = AddNorm(
      x, nullptr, blocks_[0].ln_1,
      shape_.layers == 1 ? blocks_[0].key_value : blocks_[0].query_key_value);
  for (size_t layer = 0; layer < blocks_.size(); ++layer) {
    const Block& block = blocks_[layer];
    const bool last = layer + 1 == blocks_.size();
    Rows mixed = block.out.Input(last ? kept.size(0) : x.size(0));
    if (last) {
      const at::Tensor key_value = Finished(block.key_value(hidden));
      const at::Tensor query = Finished(block.query(hidden.Select(kept)));
      attention(query, part(key_value, 0), part(key_value, 1), true, mixed);
      x = x.index_select(0, kept);
    } else {
      const at::Tensor all = Finished(block.query_key_value(hidden));
      attention(part(all, 0), part(all, 1), part(all, 2), false, mixed);
    }
    const Rows delta = block.out(mixed);
    const Rows update = Mlp(block, AddNorm(x, &delta, block.ln_2, block.fc));
    if (last) {
      const at::Tensor normed = at::empty_like(x);
      AddNormInto(x, &update, norm_, {normed, {}, {}});
      return normed;
    }
    const Block& next = blocks_[layer + 1];
    hidden = AddNorm(
        x, &update, next.ln_1,
        layer + 2 == blocks_.size() ? next.key_value : next.query_key_value);
  }
  return x;
}

Rows CpuTransformer::AddNorm(const at::Tensor& x, const Rows* delta,
                             const LayerNorm& norm,
                             const PackedLinear& next) const {
  Rows out = next.Input(x.size(0));
  AddNormInto(x, delta, norm, out);
  return out;
}

Rows CpuTransformer::Mlp(const Block& block, const Rows& x) const {
  const Rows hidden = block.fc(x);
  Rows active = block.proj.Input(hidden.data.size(0));
  const int64_t width = hidden.data.size(1);
  ForRows(hidden.data.size(0), width,
          [&](int64_t begin, int64_t end, float* scratch) {
            TowerKernels::Best().activate(shape_.activation, hidden.in(),
                                          active.out(), width, begin, end,
                                          scratch);
          });
  return block.proj(active);
}

}  // namespace clip
