#include "stores/memory_store.h"

#include "absl/strings/str_cat.h"
#include "base/error_info.h"

namespace stores {

absl::StatusOr<std::shared_ptr<const WeightSet>> MemoryStore::Get(
    absl::string_view id) {
  base::MutexLock lock(&mu_);
  const Held* held = sets_.Find(id);
  if (held == nullptr) return WeightSetNotFound(id);
  return held->set;
}

absl::StatusOr<std::shared_ptr<const WeightSet>> MemoryStore::GetHeader(
    absl::string_view id) {
  base::MutexLock lock(&mu_);
  const Held* held = sets_.Peek(id);
  if (held == nullptr) return WeightSetNotFound(id);
  return held->set;
}

absl::Status MemoryStore::CheckSize(int64_t bytes) {
  base::MutexLock lock(&mu_);
  if (bytes <= sets_.max_bytes()) return absl::OkStatus();
  return base::WithReason(absl::ResourceExhaustedError(absl::StrCat(
                              "the weight set takes ", bytes,
                              " bytes, but all weight sets in memory "
                              "may take ",
                              sets_.max_bytes(), " (--memory_store_bytes)")),
                          base::kWeightSetTooLarge);
}

absl::Status MemoryStore::Put(std::shared_ptr<const WeightSet> set) {
  const int64_t size = set->SizeBytes();
  absl::Status fits = CheckSize(size);
  if (!fits.ok()) return fits;
  Sets::Gone gone;  // freed unlocked
  base::MutexLock lock(&mu_);
  if (sets_.Find(set->id) != nullptr) return absl::OkStatus();
  gone = sets_.Put(set->id, {set, {}}, size);
  return absl::OkStatus();
}

absl::Status MemoryStore::Touch(absl::string_view id) {
  base::MutexLock lock(&mu_);
  return sets_.Find(id) != nullptr ? absl::OkStatus() : WeightSetNotFound(id);
}

absl::Status MemoryStore::Delete(absl::string_view id) {
  base::MutexLock lock(&mu_);
  return sets_.Erase(id) ? absl::OkStatus() : WeightSetNotFound(id);
}

absl::StatusOr<DisplayName> MemoryStore::GetDisplayName(absl::string_view id) {
  base::MutexLock lock(&mu_);
  const Held* held = sets_.Peek(id);
  return held == nullptr ? DisplayName() : held->name;
}

absl::Status MemoryStore::PutDisplayName(absl::string_view id,
                                         const DisplayName& name) {
  base::MutexLock lock(&mu_);
  Held* held = sets_.Peek(id);
  if (held == nullptr) return WeightSetNotFound(id);
  if (CountsRatherThan(name, held->name)) held->name = name;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<WeightSetSummary>> MemoryStore::List(
    absl::string_view after, int limit) {
  std::vector<WeightSetSummary> sets;
  base::MutexLock lock(&mu_);
  for (auto it = sets_.entries().upper_bound(after);
       it != sets_.entries().end() && sets.size() < limit; ++it) {
    sets.push_back(SummaryOf(*it->second.value.set));
  }
  return sets;
}

StoreSize MemoryStore::size() {
  base::MutexLock lock(&mu_);
  return {static_cast<int64_t>(sets_.entries().size()), sets_.bytes(),
          sets_.max_bytes()};
}

}  // namespace stores
