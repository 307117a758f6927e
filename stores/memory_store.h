// The memory tier: weight sets of this process, bounded by bytes; the least
// recently used go first. A set in use stays alive through its shared_ptr.
#ifndef ZEROSHOT_STORES_MEMORY_STORE_H_
#define ZEROSHOT_STORES_MEMORY_STORE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "stores/lru_map.h"
#include "stores/weight_store.h"

namespace stores {

// Thread rule: every method may be called from many threads at once.
class MemoryStore : public WeightStore {
 public:
  explicit MemoryStore(int64_t max_bytes) : sets_(max_bytes) {}

  absl::StatusOr<std::shared_ptr<const WeightSet>> Get(
      absl::string_view id) override;
  absl::StatusOr<std::shared_ptr<const WeightSet>> GetHeader(
      absl::string_view id) override;
  absl::Status CheckSize(int64_t bytes) override;
  absl::Status Put(std::shared_ptr<const WeightSet> set) override;
  absl::Status Touch(absl::string_view id) override;
  absl::Status Delete(absl::string_view id) override;
  absl::StatusOr<DisplayName> GetDisplayName(absl::string_view id) override;
  absl::Status PutDisplayName(absl::string_view id,
                              const DisplayName& name) override;
  absl::StatusOr<std::vector<WeightSetSummary>> List(absl::string_view after,
                                                     int limit) override;

  StoreSize size() override;

 private:
  struct Held {
    std::shared_ptr<const WeightSet> set;
    DisplayName name;
  };
  using Sets = LruMap<Held>;

  base::Mutex mu_;
  Sets sets_ ABSL_GUARDED_BY(mu_);
};

}  // namespace stores

#endif  // ZEROSHOT_STORES_MEMORY_STORE_H_
