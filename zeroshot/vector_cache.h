// Vectors that were made, so that nothing known is encoded again: of prompts,
// by their tokens, and of classes, by their prompts (for the next build), or
// of pictures, by their bytes (zeroshot/embedder.h). Bounded by bytes; the
// least recently used go first.
//
// A build of 80,000 prompts puts 80,000 rows here while a GPU waits for the
// next step: rows lie side by side in huge pages, and a row is one copy.
#ifndef ZEROSHOT_ZEROSHOT_VECTOR_CACHE_H_
#define ZEROSHOT_ZEROSHOT_VECTOR_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "clip/mutex.h"
#include "zeroshot/classifier_spec.h"
#include "zeroshot/huge_pages.h"

namespace zeroshot {

// Thread rule: every method may be called from many threads at once. All
// vectors are of one model, and so of one length: a cache lives no longer than
// it.
class VectorCache {
 public:
  // 0 bytes: keeps nothing.
  explicit VectorCache(int64_t max_bytes) : max_bytes_(max_bytes) {}

  // What a vector is known by. Of a prompt: its tokens, as they are, so that no
  // other can have its vector.
  static void SetToKeyOfPrompt(absl::Span<const int32_t> tokens,
                               std::string* key);
  // Of a class: SHA-256 of its prompts, or of templates and name if they make
  // its prompts; `templates_key` is KeyOfTemplates of the same spec.
  static std::string KeyOfTemplates(const ResolvedSpec& spec);
  static std::string KeyOfClass(const ResolvedSpec& spec, int c,
                                absl::string_view templates_key);

  // Receives a row that was found, of unit length, and how many tokens the
  // prompts have that it is made of, if any. The row is gone, and the cache
  // waits, until it returns.
  using Use =
      absl::FunctionRef<void(absl::Span<const float> row, int64_t num_tokens)>;

  // False: not there. A vector that is found counts as used.
  bool Find(absl::string_view key, Use use);
  // Copies the row to `row` [D].
  bool Find(absl::string_view key, float* row);

  void Put(absl::string_view key, absl::Span<const float> row,
           int64_t num_tokens = 0);

  // Now, and since the start.
  struct Stats {
    int64_t bytes = 0;
    int64_t max_bytes = 0;
    int64_t hits = 0, misses = 0;  // of Finds
  };
  Stats stats();

 private:
  static constexpr int32_t kNone = -1;

  // A vector and its neighbours in the order of use; kNone at the ends.
  struct Entry {
    std::string key;
    int64_t num_tokens = 0;
    int32_t newer = kNone, older = kNone;
  };

  int64_t BytesOf(size_t key_size) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // [D], of entry `i`.
  float* RowOf(int32_t i) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // An entry that nothing uses. kNone: there is no memory.
  int32_t FreeEntry() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Link(int32_t i) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);    // as the newest
  void Unlink(int32_t i) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);  // from its place
  void EraseOldest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int64_t max_bytes_;
  clip::Mutex mu_;
  size_t dim_ ABSL_GUARDED_BY(mu_) = 0;  // of the first vector; 0: none yet
  HugePages rows_ ABSL_GUARDED_BY(mu_);  // [entries, D], all there may be
  std::deque<Entry> entries_ ABSL_GUARDED_BY(mu_);
  std::vector<int32_t> free_ ABSL_GUARDED_BY(mu_);  // of entries_
  // By key, which lies in the entry.
  absl::flat_hash_map<absl::string_view, int32_t> index_ ABSL_GUARDED_BY(mu_);
  int32_t newest_ ABSL_GUARDED_BY(mu_) = kNone;
  int32_t oldest_ ABSL_GUARDED_BY(mu_) = kNone;
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t hits_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t misses_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_VECTOR_CACHE_H_
