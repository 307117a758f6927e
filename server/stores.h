// The tiers of weight sets that the options ask for.
#ifndef ZEROSHOT_SERVER_STORES_H_
#define ZEROSHOT_SERVER_STORES_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/options.h"
#include "stores/disk_store.h"
#include "stores/memory_store.h"
#include "stores/redis_client.h"
#include "stores/redis_store.h"
#include "stores/tiered_store.h"

namespace zeroshot::server {

// The keys in --store_key_file: lines of 32 characters or more; empty ones and
// those that begin with # are skipped. None if `file` is empty.
// InvalidArgument: it cannot be read, a key is shorter, or there is none.
absl::StatusOr<stores::StoreKeys> LoadStoreKeys(const std::string& file);

// Thread rule: all() is for any thread.
class Stores {
 public:
  // InvalidArgument: --disk_store is no folder that can be written to,
  // --redis_ca no file of certificates, or --store_key_file none of keys. Redis
  // need not be there yet.
  static absl::StatusOr<std::unique_ptr<Stores>> Open(
      const ServerOptions& options);

  stores::TieredStore& all() { return *all_; }

 private:
  explicit Stores(int64_t memory_bytes) : memory_(memory_bytes) {}

  stores::MemoryStore memory_;
  std::unique_ptr<stores::DiskStore> disk_;            // may be null
  std::unique_ptr<stores::RedisClient> redis_client_;  // may be null
  std::unique_ptr<stores::RedisStore> redis_;          // may be null
  std::unique_ptr<stores::TieredStore> all_;
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_STORES_H_
