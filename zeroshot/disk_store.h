// The disk tier: one safetensors file a weight set (zeroshot/stored_set.h),
// written beside its place and renamed, so that a file is whole or not there.
// The folder is bounded by bytes; the least recently used go first, also after
// a restart: use is kept as the file's time of change.
#ifndef ZEROSHOT_ZEROSHOT_DISK_STORE_H_
#define ZEROSHOT_ZEROSHOT_DISK_STORE_H_

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "clip/mutex.h"
#include "zeroshot/weight_store.h"

namespace zeroshot {

// Thread rule: every method may be called from many threads at once. Servers
// may share a folder: each finds what the others wrote, and each keeps what it
// knows of under its own bound.
class DiskStore : public WeightStore {
 public:
  // Opens the folder, which is made if its parent is there, and removes what a
  // crash left half written. InvalidArgument: it cannot be made or written to.
  static absl::StatusOr<std::unique_ptr<DiskStore>> Open(
      const std::string& folder, int64_t max_bytes);

  // DataLoss: the file is damaged; it is gone by then. Unavailable: it cannot
  // be read.
  absl::StatusOr<std::shared_ptr<const WeightSet>> Get(
      absl::string_view id) override;
  // Unavailable: the disk is full or broken.
  absl::Status Put(std::shared_ptr<const WeightSet> set) override;
  absl::Status Delete(absl::string_view id) override;
  absl::StatusOr<std::vector<std::shared_ptr<const WeightSet>>> List(
      absl::string_view after, int limit) override;

  StoreSize size() override;

 private:
  struct Entry {
    int64_t bytes = 0;
    std::list<std::string>::iterator use;  // its place in uses_
  };

  DiskStore(std::string folder, int64_t max_bytes)
      : folder_(std::move(folder)), max_bytes_(max_bytes) {}

  absl::Status Scan();
  std::string PathOf(absl::string_view id) const;

  // Takes note of a file, as the latest used, and makes room for it.
  void Note(const std::string& id, int64_t bytes);
  void Forget(absl::string_view id);
  void ForgetLocked(const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // DataLoss: a damaged file was found, and removed.
  absl::Status Drop(absl::string_view id, absl::Status why);

  const std::string folder_;
  const int64_t max_bytes_;
  std::atomic<int64_t> files_written_{0};  // names files in the making
  clip::Mutex mu_;
  std::map<std::string, Entry, std::less<>> entries_ ABSL_GUARDED_BY(mu_);
  std::list<std::string> uses_ ABSL_GUARDED_BY(mu_);  // latest first
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_DISK_STORE_H_
