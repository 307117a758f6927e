// Tokens to embeddings (openai/CLIP's model.py, encode_text; transformers'
// modeling_bert.py), a trie at a time: the two ways to do it.
#ifndef ZEROSHOT_CLIP_TORCH_TEXT_TOWER_H_
#define ZEROSHOT_CLIP_TORCH_TEXT_TOWER_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>

#include "clip/token_trie.h"
#include "clip/torch/cpu_precision.h"
#include "clip/torch/tensors.h"

namespace clip {

// Thread rule: const after construction.
class TextTower {
 public:
  virtual ~TextTower() = default;

  // Embeddings [trie.num_ends(), embedding_dim], each of the token that
  // Architecture::text_pool says.
  virtual at::Tensor Encode(const TokenTrie& trie) const = 0;

  // Token positions that Encode computes for this trie, padding included.
  virtual int64_t Positions(const TokenTrie& trie) const = 0;
};

// trie_text_tower.cc: every node once, on the CPU. REQUIRES: a causal tower,
// and sequences that end where they are pooled (CutAtPool).
std::unique_ptr<TextTower> MakeTrieTextTower(const WeightLoader& loader,
                                             CpuPrecision precision);

// cuda/cuda_trie_text_tower.cc: every node once, on CUDA; null if our kernels
// do not take the tower's shape. REQUIRES: as above; Encode is called by one
// thread at a time, and only when the device has done what the call before
// queued.
std::unique_ptr<TextTower> MakeCudaTrieTextTower(const WeightLoader& loader);

// sequence_text_tower.cc: every sequence by itself. A causal tower's is padded
// to the longest of its neighbours, since what follows a token does not change
// it; where padding is seen, to the context length, as the reference does; and
// where it is masked, not at all. Any device.
std::unique_ptr<TextTower> MakeSequenceTextTower(const WeightLoader& loader);
// The same on the CPU. REQUIRES: a tower that is not causal.
std::unique_ptr<TextTower> MakeCpuSequenceTextTower(const WeightLoader& loader,
                                                    CpuPrecision precision);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_TEXT_TOWER_H_
