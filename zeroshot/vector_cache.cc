#include "zeroshot/vector_cache.h"

#include <utility>

#include "absl/strings/string_view.h"
#include "clip/sha256.h"

namespace zeroshot {

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
  const auto it = places_.find(key);
  if (it == places_.end()) {
    ++misses_;
    return false;
  }
  ++hits_;
  uses_.splice(uses_.begin(), uses_, it->second);
  *out = it->second->vector;
  return true;
}

void VectorCache::Put(const std::string& key, Vector vector) {
  Entry entry{key, std::move(vector)};
  const int64_t size = SizeOf(entry);
  if (size > max_bytes_) return;
  clip::MutexLock lock(&mu_);
  if (places_.contains(key)) return;
  while (bytes_ + size > max_bytes_) {
    bytes_ -= SizeOf(uses_.back());
    places_.erase(uses_.back().key);
    uses_.pop_back();
  }
  bytes_ += size;
  uses_.push_front(std::move(entry));
  places_.emplace(key, uses_.begin());
}

VectorCache::Stats VectorCache::stats() {
  clip::MutexLock lock(&mu_);
  return {bytes_, max_bytes_, hits_, misses_};
}

int64_t VectorCache::SizeOf(const Entry& entry) const {
  // The key stands in both; pointers and hash buckets beside it.
  constexpr int64_t kOverhead = 128;
  return entry.vector.row.size() * sizeof(float) + 2 * entry.key.size() +
         sizeof(Entry) + kOverhead;
}

}  // namespace zeroshot
