// The memory tier: weight sets of this process, bounded by bytes; the least
// recently used go first. A set in use stays alive through its shared_ptr.
#ifndef ZEROSHOT_ZEROSHOT_MEMORY_STORE_H_
#define ZEROSHOT_ZEROSHOT_MEMORY_STORE_H_

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "clip/mutex.h"
#include "zeroshot/weight_store.h"

namespace zeroshot {

class MemoryStore : public WeightStore {
 public:
  explicit MemoryStore(int64_t max_bytes) : max_bytes_(max_bytes) {}

  absl::StatusOr<std::shared_ptr<const WeightSet>> Get(
      absl::string_view id) override;
  absl::Status Put(std::shared_ptr<const WeightSet> set) override;
  absl::Status Delete(absl::string_view id) override;
  absl::StatusOr<std::vector<std::shared_ptr<const WeightSet>>> List(
      absl::string_view after, int limit) override;

  StoreSize size() override;

 private:
  struct Entry {
    std::shared_ptr<const WeightSet> set;
    std::list<std::string>::iterator use;  // its place in uses_
  };
  using Entries = std::map<std::string, Entry>;

  void Remove(Entries::iterator it) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int64_t max_bytes_;
  clip::Mutex mu_;
  Entries entries_ ABSL_GUARDED_BY(mu_);
  std::list<std::string> uses_ ABSL_GUARDED_BY(mu_);  // latest first
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_MEMORY_STORE_H_
