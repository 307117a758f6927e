#include "zeroshot/vector_cache.h"

#include <utility>

#include "absl/strings/string_view.h"
#include "clip/sha256.h"

namespace zeroshot {
namespace {

int64_t SizeOf(const std::string& key, const VectorCache::Vector& vector) {
  // The key stands in both; pointers and hash buckets beside it.
  constexpr int64_t kOverhead = 128;
  return vector.row.size() * sizeof(float) + 2 * key.size() +
         sizeof(std::string) + sizeof(vector) + kOverhead;
}

}  // namespace

std::string VectorCache::KeyOfPrompt(absl::Span<const int32_t> tokens) {
  clip::Sha256 hash;
  hash.UpdateField("prompt");
  hash.Update(absl::string_view(reinterpret_cast<const char*>(tokens.data()),
                                tokens.size() * sizeof(int32_t)));
  return hash.HexDigest();
}

std::string VectorCache::KeyOfClass(const ResolvedSpec& spec, int c) {
  clip::Sha256 hash;
  hash.UpdateField("class");
  for (int i = 0; i < spec.num_prompts(c); ++i) {
    hash.UpdateField(spec.Prompt(c, i));
  }
  return hash.HexDigest();
}

bool VectorCache::Find(const std::string& key, Vector* out) {
  clip::MutexLock lock(&mu_);
  const Vector* const vector = vectors_.Find(key);
  if (vector == nullptr) {
    ++misses_;
    return false;
  }
  ++hits_;
  *out = *vector;
  return true;
}

void VectorCache::Put(const std::string& key, Vector vector) {
  const int64_t size = SizeOf(key, vector);
  clip::MutexLock lock(&mu_);
  if (vectors_.entries().contains(key)) return;
  vectors_.Put(key, std::move(vector), size);
}

VectorCache::Stats VectorCache::stats() {
  clip::MutexLock lock(&mu_);
  return {vectors_.bytes(), vectors_.max_bytes(), hits_, misses_};
}

}  // namespace zeroshot
