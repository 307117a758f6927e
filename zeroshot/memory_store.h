// The memory tier: weight sets of this process, bounded by bytes; the least
// recently used go first. A set in use stays alive through its shared_ptr.
#ifndef ZEROSHOT_ZEROSHOT_MEMORY_STORE_H_
#define ZEROSHOT_ZEROSHOT_MEMORY_STORE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "clip/mutex.h"
#include "zeroshot/lru_map.h"
#include "zeroshot/weight_store.h"

namespace zeroshot {

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
  absl::StatusOr<std::vector<WeightSetSummary>> List(absl::string_view after,
                                                     int limit) override;

  StoreSize size() override;

 private:
  using Sets = LruMap<std::shared_ptr<const WeightSet>>;

  clip::Mutex mu_;
  Sets sets_ ABSL_GUARDED_BY(mu_);
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_MEMORY_STORE_H_
