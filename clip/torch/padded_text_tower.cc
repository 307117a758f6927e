#include <algorithm>
#include <numeric>
#include <vector>

#include "clip/torch/text_tower.h"
#include "clip/torch/transformer.h"

namespace clip {
namespace {

// Padded token positions computed at once.
constexpr int64_t kPositionsCpu = 2048;
constexpr int64_t kPositionsCuda = 32768;

int64_t LengthOf(const TokenTrie& trie, int64_t end) {
  return trie.depths[trie.ends[end]] + 1;
}

class PaddedTextTower : public TextTower {
 public:
  explicit PaddedTextTower(const WeightLoader& loader)
      : device_(loader.compute().device),
        causal_(loader.architecture().causal_text),
        context_length_(loader.architecture().context_length),
        tokens_(loader.Matrix("token_embedding.weight")),
        positions_(loader.Matrix("positional_embedding")),
        transformer_(loader, "transformer", loader.architecture().text),
        ln_final_(loader, "ln_final", loader.architecture().text.norm_epsilon),
        projection_(loader.Matrix("text_projection")) {}

  int64_t Positions(const TokenTrie& trie) const override {
    int64_t positions = 0;
    for (const Run& run : Runs(trie))
      positions += static_cast<int64_t>(run.ends.size()) * run.length;
    return positions;
  }

  at::Tensor Encode(const TokenTrie& trie) const override {
    const at::Tensor embeddings =
        at::empty({trie.num_ends(), projection_.size(1)},
                  at::TensorOptions(device_).dtype(projection_.dtype()));
    for (const Run& run : Runs(trie)) {
      embeddings.index_copy_(0, at::tensor(run.ends, at::kLong).to(device_),
                             EncodeRun(trie, run));
    }
    return embeddings;
  }

 private:
  // Sequences that go through the tower together, padded to `length`.
  struct Run {
    std::vector<int64_t> ends;
    int64_t length = 0;
  };

  // Sequences of similar length together.
  std::vector<Run> Runs(const TokenTrie& trie) const {
    std::vector<int64_t> order(trie.num_ends());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return LengthOf(trie, a) < LengthOf(trie, b);
    });
    const int64_t bound = device_.is_cuda() ? kPositionsCuda : kPositionsCpu;
    std::vector<Run> runs;
    for (const int64_t end : order) {
      const int64_t length = causal_ ? LengthOf(trie, end) : context_length_;
      if (runs.empty() ||
          static_cast<int64_t>(runs.back().ends.size() + 1) * length > bound) {
        runs.emplace_back();
      }
      runs.back().ends.push_back(end);
      runs.back().length = length;  // the longest so far
    }
    return runs;
  }

  at::Tensor EncodeRun(const TokenTrie& trie, const Run& run) const {
    const int64_t n = static_cast<int64_t>(run.ends.size());
    at::Tensor ids = at::zeros({n, run.length}, at::kLong);
    at::Tensor pooled = at::empty({n}, at::kLong);  // of n * length rows
    for (int64_t i = 0; i < n; ++i) {
      const int32_t end = trie.ends[run.ends[i]];
      int64_t* row = ids.data_ptr<int64_t>() + i * run.length;
      int64_t* last = row;
      for (int32_t a = trie.offsets[end]; a < trie.offsets[end + 1]; ++a)
        *last++ = trie.tokens[trie.ancestors[a]];
      pooled.data_ptr<int64_t>()[i] =
          i * run.length + (std::max_element(row, last) - row);
    }
    const at::Tensor x = at::embedding(tokens_, ids.to(device_)) +
                         positions_.narrow(0, 0, run.length);
    const at::Tensor rows = transformer_(x, causal_)
                                .flatten(0, 1)
                                .index_select(0, pooled.to(device_));
    return at::matmul(ln_final_(rows), projection_);
  }

  const at::Device device_;
  const bool causal_;
  const int64_t context_length_;
  const at::Tensor tokens_;     // [vocabulary, width]
  const at::Tensor positions_;  // [context, width]
  const Transformer transformer_;
  const LayerNorm ln_final_;
  const at::Tensor projection_;  // [width, embedding_dim]
};

}  // namespace

std::unique_ptr<TextTower> MakePaddedTextTower(const WeightLoader& loader) {
  return std::make_unique<PaddedTextTower>(loader);
}

}  // namespace clip
