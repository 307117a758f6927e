// Byte-pair encoding with CLIP's vocabulary (Sennrich et al., "Neural Machine
// Translation of Rare Words with Subword Units"): a word starts as its bytes
// and neighbours are merged, the earliest merge of the list first, from left
// to right.
//
// Thread rule: const methods from any thread.
#ifndef ZEROSHOT_CLIP_TEXT_BYTE_PAIRS_H_
#define ZEROSHOT_CLIP_TEXT_BYTE_PAIRS_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace clip {

// Ids are as in the reference: 256 bytes in its order, the same bytes as ends
// of words, then one for each merge. The two special tokens come after them.
class BytePairEncoder {
 public:
  static constexpr int32_t kNumMerges = 48894;

  // `gzipped_merges`: OpenAI's bpe_simple_vocab_16e6.txt.gz. It is embedded in
  // the binary: a damaged one is a defect of the build and ends the program.
  explicit BytePairEncoder(absl::string_view gzipped_merges);

  // Appends the ids of one word. Words that are one token are looked up; others
  // take O(n log n) for n bytes.
  void Append(absl::string_view word, std::vector<int32_t>* ids) const;

 private:
  // Fills words_ from the vocabulary: ids by spelling, bytes by id.
  void AddWholeWords(const absl::flat_hash_map<std::string, int32_t>& ids,
                     const std::vector<std::string>& bytes);
  // What Append does, merge by merge.
  void Merge(absl::string_view word, std::vector<int32_t>* ids) const;
  // The id of two neighbours merged, or kNoMerge. Ids ascend with the merges'
  // ranks, so the lowest id is the merge to do first.
  int32_t Merged(int32_t left, int32_t right) const;

  std::array<int32_t, 256> id_of_byte_;
  absl::flat_hash_map<uint64_t, int32_t> merges_;    // key: left, right
  absl::flat_hash_map<std::string, int32_t> words_;  // those of one token
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_BYTE_PAIRS_H_
