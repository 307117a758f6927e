#include "zeroshot/vector_cache.h"

#include <algorithm>

namespace zeroshot {

int64_t VectorCache::BytesOf(size_t key_size) const {
  // Of the index, a slot and its share of those that are empty.
  constexpr int64_t kIndex = 2 * (sizeof(absl::string_view) + 8);
  return static_cast<int64_t>(dim_ * sizeof(float) + key_size + sizeof(Entry)) +
         kIndex;
}

float* VectorCache::RowOf(int32_t i) const {
  return static_cast<float*>(rows_.data()) + i * dim_;
}

int32_t VectorCache::FreeEntry() {
  if (!free_.empty()) {
    const int32_t i = free_.back();
    free_.pop_back();
    return i;
  }
  if ((entries_.size() + 1) * dim_ * sizeof(float) > rows_.size()) return kNone;
  entries_.emplace_back();
  return static_cast<int32_t>(entries_.size() - 1);
}

void VectorCache::Link(int32_t i) {
  entries_[i].newer = kNone;
  entries_[i].older = newest_;
  (newest_ == kNone ? oldest_ : entries_[newest_].newer) = i;
  newest_ = i;
}

void VectorCache::Unlink(int32_t i) {
  const Entry& entry = entries_[i];
  (entry.newer == kNone ? newest_ : entries_[entry.newer].older) = entry.older;
  (entry.older == kNone ? oldest_ : entries_[entry.older].newer) = entry.newer;
}

void VectorCache::EraseOldest() {
  const int32_t i = oldest_;
  Unlink(i);
  bytes_ -= BytesOf(entries_[i].key.size());
  index_.erase(entries_[i].key);
  free_.push_back(i);
}

bool VectorCache::Find(absl::string_view key, float* row) {
  base::MutexLock lock(&mu_);
  const auto found = index_.find(key);
  if (found == index_.end()) {
    ++misses_;
    return false;
  }
  ++hits_;
  const int32_t i = found->second;
  if (i != newest_) {
    Unlink(i);
    Link(i);
  }
  std::copy_n(RowOf(i), dim_, row);
  return true;
}

void VectorCache::Put(absl::string_view key, absl::Span<const float> row) {
  base::MutexLock lock(&mu_);
  if (dim_ == 0) {
    dim_ = row.size();
    const size_t most = std::max<int64_t>(max_bytes_, 0) / BytesOf(0);
    rows_ = base::HugePages(most * dim_ * sizeof(float));
    index_.reserve(std::min<size_t>(most, 1 << 18));
  }
  const int64_t bytes = BytesOf(key.size());
  if (bytes > max_bytes_ || index_.contains(key)) return;
  while (bytes_ + bytes > max_bytes_) EraseOldest();
  const int32_t i = FreeEntry();
  if (i == kNone) return;
  Entry& entry = entries_[i];
  entry.key.assign(key.data(), key.size());
  std::copy(row.begin(), row.end(), RowOf(i));
  index_.emplace(entry.key, i);
  Link(i);
  bytes_ += bytes;
}

VectorCache::Stats VectorCache::stats() {
  base::MutexLock lock(&mu_);
  return {bytes_, max_bytes_, hits_, misses_};
}

}  // namespace zeroshot
