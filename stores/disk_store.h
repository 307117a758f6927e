// The disk tier: one safetensors file a weight set (stores/stored_set.h),
// written beside its place and renamed, so that a file is whole or not there;
// and ID.name beside it if the set was given a name.
// The folder is bounded by bytes; the least recently used go first, also after
// a restart: use is kept as the file's time of change.
#ifndef ZEROSHOT_STORES_DISK_STORE_H_
#define ZEROSHOT_STORES_DISK_STORE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/mutex.h"
#include "stores/lru_map.h"
#include "stores/stored_set.h"
#include "stores/weight_store.h"

namespace stores {

// Thread rule: every method may be called from many threads at once. Servers
// may share a folder: each finds what the others wrote, and each keeps what it
// knows of under its own bound.
class DiskStore : public WeightStore {
 public:
  // Opens the folder, which is made if its parent is there, and removes what a
  // crash left half written. InvalidArgument: it cannot be made or written to.
  static absl::StatusOr<std::unique_ptr<DiskStore>> Open(
      const std::string& folder, int64_t max_bytes, StoreKeys keys = {});

  // DataLoss: the file is damaged; it is gone by then. Unavailable: it cannot
  // be read.
  absl::StatusOr<std::shared_ptr<const WeightSet>> Get(
      absl::string_view id) override;
  absl::StatusOr<std::shared_ptr<const WeightSet>> GetHeader(
      absl::string_view id) override;
  // Unavailable: the disk is full or broken.
  absl::Status Put(std::shared_ptr<const WeightSet> set) override;
  absl::Status Touch(absl::string_view id) override;
  void NoteUse(absl::string_view id) override;
  absl::Status Delete(absl::string_view id) override;
  absl::StatusOr<DisplayName> GetDisplayName(absl::string_view id) override;
  // Unavailable: the disk is full or broken.
  absl::Status PutDisplayName(absl::string_view id,
                              const DisplayName& name) override;
  absl::StatusOr<std::vector<WeightSetSummary>> List(absl::string_view after,
                                                     int limit) override;

  StoreSize size() override;

 private:
  using Files = LruMap<std::monostate>;

  DiskStore(std::string folder, int64_t max_bytes, StoreKeys keys)
      : folder_(std::move(folder)), keys_(std::move(keys)), sets_(max_bytes) {}

  absl::Status Scan();
  std::string PathOf(absl::string_view id) const;
  std::string NamePathOf(absl::string_view id) const;
  // Removes the set's file and its name's. False, with errno: the first is not
  // there, or cannot be removed.
  bool Unlink(absl::string_view id) const;

  // Writes a file beside its place and renames it.
  absl::Status WriteFile(const std::string& path, absl::string_view header,
                         absl::string_view weights);

  absl::Status SyncFolder();

  // Takes note of a file, as the latest used, and makes room for it.
  void NoteSet(const std::string& id, int64_t bytes);
  void Forget(absl::string_view id);
  // Removes the file if it is damaged.
  absl::Status Drop(absl::string_view id, absl::Status why);

  const std::string folder_;
  const StoreKeys keys_;
  std::atomic<int64_t> files_written_{0};  // names files in the making
  base::Mutex names_mu_;  // held while a name is compared and written
  base::Mutex mu_;
  Files sets_ ABSL_GUARDED_BY(mu_);
};

}  // namespace stores

#endif  // ZEROSHOT_STORES_DISK_STORE_H_
