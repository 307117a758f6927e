// trie_text_tower.cc's tower for CUDA, in fp16, bf16 or fp32.
#include <algorithm>
#include <cstring>

#include "clip/torch/cuda/cuda_transformer.h"
#include "clip/torch/cuda/kernels.h"
#include "clip/torch/cuda/queue.h"
#include "clip/torch/text_tower.h"

namespace clip {
namespace {

constexpr int kMaxHeadDim = 128, kHeadDimUnit = 8;  // kernels.h

// Elements that an array takes, so that the next one is 16-byte aligned.
int64_t Room(const std::vector<int32_t>& array) {
  return (static_cast<int64_t>(array.size()) + 3) / 4 * 4;
}

// The arrays of a trie on the device, behind each other in one tensor.
struct DeviceTrie {
  at::Tensor all;
  const int32_t *tokens, *depths, *offsets, *ancestors;  // of TokenTrie
  const int32_t *end_offsets, *end_ancestors;  // the same for its ends only
  at::Tensor ends;                             // [num_ends]
};

class CudaTrieTextTower : public TextTower {
 public:
  explicit CudaTrieTextTower(const WeightLoader& loader)
      : device_(loader.compute().device),
        heads_(loader.architecture().text.heads),
        type_(loader.compute().dtype),
        tokens_(TokenTable(loader.InFloat32()).table().to(at::kFloat)),
        context_(loader.architecture().context_length),
        class_token_(loader.architecture().text_pool == TextPool::kClass
                         ? loader.architecture().vocab_size
                         : -1),
        positions_(loader.Vector("positional_embedding")),
        transformer_(loader, "transformer", loader.architecture().text,
                     "ln_final"),
        projection_(loader, "text_projection") {}

  int64_t Positions(const TokenTrie& trie) const override {
    return trie.num_nodes() +
           (class_token_ < 0 ? 0 : kClassNodes * trie.num_ends());
  }

  at::Tensor Encode(const TokenTrie& given) const override {
    const TokenTrie with_class =
        class_token_ < 0 ? TokenTrie()
                         : WithClassTokens(given, context_, class_token_);
    const TokenTrie& trie = class_token_ < 0 ? given : with_class;
    const DeviceTrie on_device = Send(trie);
    const int64_t nodes = trie.num_nodes(), width = positions_.size(1);
    const at::Tensor x = at::empty({nodes, width}, positions_.options());
    CheckCuda(EmbedTokens(
        on_device.tokens, on_device.depths, tokens_.data_ptr<float>(),
        positions_.data_ptr<float>(), nodes, static_cast<int>(width),
        x.data_ptr<float>(), CurrentStream()));
    const at::Tensor pooled = transformer_.Run(
        x, on_device.ends,
        [&](const at::Tensor& queries, const at::Tensor& keys,
            const at::Tensor& values, bool kept) {
          return Attend(queries, keys, values,
                        kept ? on_device.end_offsets : on_device.offsets,
                        kept ? on_device.end_ancestors : on_device.ancestors);
        });
    return projection_(pooled);
  }

 private:
  // One copy for all arrays, from pinned memory, so that it does not wait.
  DeviceTrie Send(const TokenTrie& trie) const {
    // The last block asks for the ends only: their paths, one after the other.
    std::vector<int32_t> offsets = {0}, ancestors;
    for (const int32_t end : trie.ends) {
      ancestors.insert(ancestors.end(),
                       trie.ancestors.begin() + trie.offsets[end],
                       trie.ancestors.begin() + trie.offsets[end + 1]);
      offsets.push_back(static_cast<int32_t>(ancestors.size()));
    }
    const std::vector<int32_t>* const parts[] = {
        &trie.tokens, &trie.depths, &trie.offsets, &trie.ancestors,
        &offsets,     &ancestors,   &trie.ends};
    int64_t total = 0;
    for (const std::vector<int32_t>* part : parts) total += Room(*part);
    if (!pinned_.defined() || pinned_.size(0) < total) {
      pinned_ = at::Tensor();
      pinned_ = Pinned({total + total / 2}, at::kInt);
    }
    DeviceTrie to;
    to.all = at::empty({total}, at::TensorOptions(device_).dtype(at::kInt));
    const int32_t** const targets[] = {&to.tokens,      &to.depths,
                                       &to.offsets,     &to.ancestors,
                                       &to.end_offsets, &to.end_ancestors};
    int64_t at = 0;
    for (size_t i = 0; i < std::size(parts); ++i) {
      std::memcpy(pinned_.data_ptr<int32_t>() + at, parts[i]->data(),
                  parts[i]->size() * sizeof(int32_t));
      if (i < std::size(targets)) {
        *targets[i] = to.all.data_ptr<int32_t>() + at;
      } else {
        to.ends = to.all.narrow(0, at, trie.num_ends());
      }
      at += Room(*parts[i]);
    }
    SendAsync(pinned_.data_ptr(), to.all.data_ptr(), total * sizeof(int32_t));
    return to;
  }

  at::Tensor Attend(const at::Tensor& queries, const at::Tensor& keys,
                    const at::Tensor& values, const int32_t* offsets,
                    const int32_t* ancestors) const {
    const int64_t count = queries.size(0), width = queries.size(1);
    const at::Tensor out = at::empty({count, width}, queries.options());
    TrieAttentionCall call;
    call.type = HalfOf(type_);
    call.queries = queries.data_ptr();
    call.keys = keys.data_ptr();
    call.values = values.data_ptr();
    call.query_stride = queries.stride(0);
    call.key_stride = keys.stride(0);
    call.value_stride = values.stride(0);
    call.offsets = offsets;
    call.ancestors = ancestors;
    call.count = count;
    call.heads = heads_;
    call.head_dim = static_cast<int>(width) / heads_;
    call.out = out.data_ptr();
    CheckCuda(TrieAttention(call, CurrentStream()));
    return out;
  }

  const at::Device device_;
  const int heads_;
  const at::ScalarType type_;
  const at::Tensor tokens_;              // [vocabulary, width] float32
  const int32_t context_, class_token_;  // -1: there is none
  const at::Tensor positions_;           // [context, width] float32
  const CudaTransformer transformer_;
  const Projection projection_;
  // What the device reads a trie from: filled again only when the call before
  // is done (MakeCudaTrieTextTower's rule).
  mutable at::Tensor pinned_;
};

}  // namespace

std::unique_ptr<TextTower> MakeCudaTrieTextTower(const WeightLoader& loader) {
  const TransformerShape& shape = loader.architecture().text;
  const int head_dim = shape.width / shape.heads;
  if (!KernelsTake(shape) || head_dim % kHeadDimUnit != 0 ||
      head_dim > kMaxHeadDim) {
    return nullptr;
  }
  return std::make_unique<CudaTrieTextTower>(loader);
}

}  // namespace clip
