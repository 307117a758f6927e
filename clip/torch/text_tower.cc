#include "clip/torch/text_tower.h"

#include <algorithm>

namespace clip {

TextTower::TextTower(const WeightLoader& loader)
    : device_(loader.compute().device),
      tokens_(loader.Matrix("token_embedding.weight")),
      positions_(loader.Matrix("positional_embedding")),
      transformer_(loader, "transformer", loader.architecture().text),
      ln_final_(loader, "ln_final", loader.architecture().text.norm_epsilon),
      projection_(loader.Matrix("text_projection")) {}

at::Tensor TextTower::Encode(
    absl::Span<const absl::Span<const int32_t>> sequences,
    int64_t length) const {
  const int64_t n = static_cast<int64_t>(sequences.size());
  at::Tensor ids = at::zeros({n, length}, at::kLong);
  at::Tensor last =
      at::empty({n}, at::kLong);  // of each sequence, in n * length rows
  for (int64_t i = 0; i < n; ++i) {
    std::copy(sequences[i].begin(), sequences[i].end(),
              ids.data_ptr<int64_t>() + i * length);
    last.data_ptr<int64_t>()[i] =
        i * length + static_cast<int64_t>(sequences[i].size()) - 1;
  }
  const at::Tensor x =
      at::embedding(tokens_, ids.to(device_)) + positions_.narrow(0, 0, length);
  const at::Tensor pooled = transformer_(x, /*causal=*/true)
                                .flatten(0, 1)
                                .index_select(0, last.to(device_));
  return at::matmul(ln_final_(pooled), projection_);
}

}  // namespace clip
