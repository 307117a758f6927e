// Vectors that were made, so that nothing known is encoded again: of prompts,
// by their tokens (zeroshot/class_encoder.h), or of images, by their bytes
// (zeroshot/embedder.h). Bounded by bytes; the least recently used go first.
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
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/huge_pages.h"
#include "base/mutex.h"

namespace zeroshot {

// Thread rule: every method may be called from many threads at once. All
// vectors are of one model, and so of one length: a cache lives no longer than
// it.
class VectorCache {
 public:
  // 0 bytes: keeps nothing.
  explicit VectorCache(int64_t max_bytes) : max_bytes_(max_bytes) {}

  // Finds a row, of unit length, which counts as used and is copied to `row`
  // [D]. False: not there.
  bool Find(absl::string_view key, float* row);

  void Put(absl::string_view key, absl::Span<const float> row);

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
  base::Mutex mu_;
  size_t dim_ ABSL_GUARDED_BY(mu_) = 0;  // of the first vector; 0: none yet
  base::HugePages rows_ ABSL_GUARDED_BY(mu_);  // [entries, D], all there may be
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
