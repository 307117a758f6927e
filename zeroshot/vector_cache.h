// Vectors that were made, so that nothing known is encoded again: of prompts,
// by their tokens, and of classes, by their prompts (for the next build), or
// of pictures, by their bytes (zeroshot/embedder.h). Bounded by bytes; the
// least recently used go first.
#ifndef ZEROSHOT_ZEROSHOT_VECTOR_CACHE_H_
#define ZEROSHOT_ZEROSHOT_VECTOR_CACHE_H_

#include <cstdint>
#include <list>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/types/span.h"
#include "clip/mutex.h"
#include "zeroshot/classifier_spec.h"

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
  explicit VectorCache(int64_t max_bytes) : max_bytes_(max_bytes) {}

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
  struct Entry {
    std::string key;
    Vector vector;
  };
  using Uses = std::list<Entry>;

  int64_t SizeOf(const Entry& entry) const;

  const int64_t max_bytes_;
  clip::Mutex mu_;
  Uses uses_ ABSL_GUARDED_BY(mu_);  // latest first
  std::unordered_map<std::string, Uses::iterator> places_ ABSL_GUARDED_BY(mu_);
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t hits_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t misses_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_VECTOR_CACHE_H_
