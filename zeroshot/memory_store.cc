#include "zeroshot/memory_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "clip/quoted.h"

namespace zeroshot {

absl::Status WeightSetNotFound(absl::string_view id) {
  return absl::NotFoundError(
      absl::StrCat("no weight set ", clip::Quoted(id),
                   ": call BuildClassifier again, it is idempotent"));
}

absl::StatusOr<std::shared_ptr<const WeightSet>> MemoryStore::Get(
    absl::string_view id) {
  clip::MutexLock lock(&mu_);
  const auto it = entries_.find(std::string(id));
  if (it == entries_.end()) return WeightSetNotFound(id);
  uses_.splice(uses_.begin(), uses_, it->second.use);
  return it->second.set;
}

absl::Status MemoryStore::Put(std::shared_ptr<const WeightSet> set) {
  const int64_t size = set->SizeBytes();
  if (size > max_bytes_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the weight set takes ", size,
                     " bytes and all weight sets in memory may take ",
                     max_bytes_, " (--memory_store_bytes)"));
  }
  clip::MutexLock lock(&mu_);
  if (entries_.contains(set->id)) return absl::OkStatus();
  while (bytes_ + size > max_bytes_) Remove(entries_.find(uses_.back()));
  bytes_ += size;
  uses_.push_front(set->id);
  const std::string& id = uses_.front();
  entries_.emplace(id, Entry{std::move(set), uses_.begin()});
  return absl::OkStatus();
}

absl::Status MemoryStore::Delete(absl::string_view id) {
  clip::MutexLock lock(&mu_);
  const auto it = entries_.find(std::string(id));
  if (it == entries_.end()) return WeightSetNotFound(id);
  Remove(it);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::shared_ptr<const WeightSet>>> MemoryStore::List(
    absl::string_view after, int limit) {
  std::vector<std::shared_ptr<const WeightSet>> sets;
  clip::MutexLock lock(&mu_);
  for (auto it = entries_.upper_bound(std::string(after));
       it != entries_.end() && sets.size() < limit; ++it) {
    sets.push_back(it->second.set);
  }
  return sets;
}

StoreSize MemoryStore::size() {
  clip::MutexLock lock(&mu_);
  return {static_cast<int64_t>(entries_.size()), bytes_, max_bytes_};
}

void MemoryStore::Remove(Entries::iterator it) {
  bytes_ -= it->second.set->SizeBytes();
  uses_.erase(it->second.use);
  entries_.erase(it);
}

}  // namespace zeroshot
