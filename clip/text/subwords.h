// The models of Hugging Face's tokenizers library: each cuts one word, or a
// whole text that nothing has cut into words, into pieces of a vocabulary.
//
// Thread rule: const methods from any thread.
#ifndef ZEROSHOT_CLIP_TEXT_SUBWORDS_H_
#define ZEROSHOT_CLIP_TEXT_SUBWORDS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "clip/text/unigram.h"
#include "clip/text/vocabulary.h"

namespace clip {

class Subwords {
 public:
  virtual ~Subwords() = default;

  // Appends the ids of `word`. REQUIRES: UTF-8.
  virtual void Append(absl::string_view word,
                      std::vector<int32_t>* ids) const = 0;

  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  explicit Subwords(Vocabulary vocabulary);

  // Appends the ids of the text's bytes, "<0x41>" and so on; false, and nothing
  // is appended, if one of them has no piece.
  bool AppendBytes(absl::string_view text, std::vector<int32_t>* ids) const;

  const Vocabulary vocabulary_;

 private:
  std::array<int32_t, 256> byte_ids_;
};

// "Unigram".
class UnigramSubwords final : public Subwords {
 public:
  struct Options {
    Vocabulary vocabulary;
    std::vector<double> scores;  // by id
    int32_t unknown_id = 0;
    bool byte_fallback = false;
  };
  explicit UnigramSubwords(Options options);
  void Append(absl::string_view word, std::vector<int32_t>* ids) const override;

 private:
  const int32_t unknown_id_;
  const bool byte_fallback_;
  const Unigram unigram_;
};

// "BPE": characters are merged by twos, the earliest merge of a list first and
// of those the leftmost.
class MergedSubwords final : public Subwords {
 public:
  struct Options {
    Vocabulary vocabulary;
    std::vector<std::pair<std::string, std::string>> merges;
    std::optional<int32_t> unknown_id;  // none: unknown characters are dropped
    bool fuse_unknown = false;          // one for neighbours that are unknown
    bool byte_fallback = false;
    bool ignore_merges = false;  // for words that are a piece themselves
  };
  // InvalidArgument: a merge of pieces, or into one, that are not there.
  static absl::StatusOr<std::unique_ptr<MergedSubwords>> Create(
      Options options);
  void Append(absl::string_view word, std::vector<int32_t>* ids) const override;

 private:
  struct Merge {
    int32_t rank;
    int32_t id;
  };
  explicit MergedSubwords(Options options);
  // What the word starts as.
  std::vector<int32_t> Characters(absl::string_view word) const;
  const Merge* FindMerge(int32_t left, int32_t right) const;

  const std::optional<int32_t> unknown_id_;
  const bool fuse_unknown_;
  const bool byte_fallback_;
  const bool ignore_merges_;
  absl::flat_hash_map<uint64_t, Merge> merges_;  // key: left, right
};

// "WordPiece": the longest piece that the word starts with, then the longest
// that goes on, which is spelled with a prefix such as "##". A word that does
// not come out is unknown as a whole.
class WordPieces final : public Subwords {
 public:
  struct Options {
    Vocabulary vocabulary;
    int32_t unknown_id = 0;
    std::string continuing_prefix = "##";
    int max_characters = 100;  // of a word; longer ones are unknown
  };
  explicit WordPieces(Options options);
  void Append(absl::string_view word, std::vector<int32_t>* ids) const override;

 private:
  const int32_t unknown_id_;
  const std::string continuing_prefix_;
  const int max_characters_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_SUBWORDS_H_
