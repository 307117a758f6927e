#include <algorithm>
#include <vector>

#include "clip/torch/cpu_transformer.h"
#include "clip/torch/step_rows.h"
#include "clip/torch/text_tower.h"

namespace clip {
namespace {

at::Tensor Int32s(const std::vector<int32_t>& values) {
  return at::from_blob(const_cast<int32_t*>(values.data()),
                       {static_cast<int64_t>(values.size())}, at::kInt);
}

// With more nodes, which see themselves only, and more ends.
TokenTrie Padded(TokenTrie trie) {
  const int64_t nodes = RoundUpRows(trie.num_nodes(), kNodesPerOctave);
  for (int64_t node = trie.num_nodes(); node < nodes; ++node) {
    trie.tokens.push_back(trie.tokens[0]);
    trie.depths.push_back(0);
    trie.ancestors.push_back(static_cast<int32_t>(node));
    trie.offsets.push_back(static_cast<int32_t>(trie.ancestors.size()));
  }
  trie.ends.resize(RoundUpRows(trie.num_ends(), kEndsPerOctave), trie.ends[0]);
  return trie;
}

// Which nodes a query sees, as TrieAttention wants it.
struct Paths {
  const int32_t* offsets;
  const int32_t* ancestors;
  int64_t longest;
};

void Attend(const Paths& paths, int64_t heads, const at::Tensor& queries,
            const at::Tensor& keys, const at::Tensor& values, const Rows& out) {
  const auto rows = [](const at::Tensor& tensor) {
    return Rows{tensor, {}, {}}.in();
  };
  const int64_t width = queries.size(1);
  const TrieAttention attention{rows(queries), rows(keys),      rows(values),
                                paths.offsets, paths.ancestors, heads,
                                out.out()};
  ForRows(queries.size(0), AttendScratch(width, heads, paths.longest),
          [&](int64_t begin, int64_t end, float* scratch) {
            TowerKernels::Best().attend(attention, width, begin, end, scratch);
          });
}

class TrieTextTower : public TextTower {
 public:
  TrieTextTower(const WeightLoader& loader, CpuPrecision precision)
      : heads_(loader.architecture().text.heads),
        tokens_(loader.InFloat32()),
        context_(loader.architecture().context_length),
        class_token_(loader.architecture().text_pool == TextPool::kClass
                         ? loader.architecture().vocab_size
                         : -1),
        positions_(loader.Float("positional_embedding")),
        transformer_(loader, "transformer", loader.architecture().text,
                     "ln_final", /*keeps_some=*/true, precision),
        projection_(loader.InFloat32(), "text_projection") {}

  int64_t Positions(const TokenTrie& trie) const override {
    return trie.num_nodes() +
           (class_token_ < 0 ? 0 : kClassNodes * trie.num_ends());
  }

  at::Tensor Encode(const TokenTrie& given) const override {
    const TokenTrie trie = Padded(
        class_token_ < 0 ? given
                         : WithClassTokens(given, context_, class_token_));
    // The last block asks for the ends only: their paths, one after the other.
    TokenTrie ends;
    ends.offsets.push_back(0);
    int64_t longest = 0;
    for (const int32_t end : trie.ends) {
      ends.ancestors.insert(ends.ancestors.end(),
                            trie.ancestors.begin() + trie.offsets[end],
                            trie.ancestors.begin() + trie.offsets[end + 1]);
      ends.offsets.push_back(static_cast<int32_t>(ends.ancestors.size()));
      longest = std::max<int64_t>(longest, trie.depths[end] + 1);
    }
    const at::Tensor x = tokens_(Int32s(trie.tokens)) +
                         at::embedding(positions_, Int32s(trie.depths));
    const at::Tensor pooled = transformer_.Run(
        x, Int32s(trie.ends).to(at::kLong),
        [&](const at::Tensor& queries, const at::Tensor& keys,
            const at::Tensor& values, bool kept, const Rows& out) {
          const TokenTrie& of = kept ? ends : trie;
          Attend({of.offsets.data(), of.ancestors.data(), longest}, heads_,
                 queries, keys, values, out);
        });
    return projection_(pooled).narrow(0, 0, given.num_ends());
  }

 private:
  const int64_t heads_;
  const TokenTable tokens_;
  const int32_t context_, class_token_;  // -1: there is none
  const at::Tensor positions_;           // [context, width]
  const CpuTransformer transformer_;
  const Projection projection_;
};

}  // namespace

std::unique_ptr<TextTower> MakeTrieTextTower(const WeightLoader& loader,
                                             CpuPrecision precision) {
  return std::make_unique<TrieTextTower>(loader, precision);
}

}  // namespace clip
