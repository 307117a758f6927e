// Vectors that were made, so that nothing known is encoded again: of prompts,
// by their tokens, and of classes, by their prompts (for the next build), or
// of pictures, by their bytes (zeroshot/embedder.h). Bounded by bytes; the
// least recently used go first.
#ifndef ZEROSHOT_ZEROSHOT_VECTOR_CACHE_H_
#define ZEROSHOT_ZEROSHOT_VECTOR_CACHE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "clip/mutex.h"
#include "zeroshot/classifier_spec.h"
#include "zeroshot/lru_map.h"

namespace zeroshot {

// Thread rule: every method may be called from many threads at once. All
// vectors are of one model: a cache lives no longer than it.
class VectorCache {
 public:
  struct Vector {
    std::vector<float> row;  // [D], unit length
    int64_t num_tokens = 0;  // of the prompts that it is made of, if any
  };

  // 0 bytes: keeps nothing.
  explicit VectorCache(int64_t max_bytes) : vectors_(max_bytes) {}

  // SHA-256 of what a vector is made of.
  static std::string KeyOfPrompt(absl::Span<const int32_t> tokens);
  static std::string KeyOfClass(const ResolvedSpec& spec, int c);

  // False: not there. A vector that is found counts as used.
  bool Find(const std::string& key, Vector* out);
  void Put(const std::string& key, Vector vector);

  // Now, and since the start.
  struct Stats {
    int64_t bytes = 0;
    int64_t max_bytes = 0;
    int64_t hits = 0, misses = 0;  // of Finds
  };
  Stats stats();

 private:
  clip::Mutex mu_;
  LruMap<Vector, Hashed> vectors_ ABSL_GUARDED_BY(mu_);
  int64_t hits_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t misses_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_VECTOR_CACHE_H_
