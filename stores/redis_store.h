// The tier that servers share: Redis or Valkey. A set is one value, the file
// that stores/stored_set.h says, which expires unless it is used. It is
// written and read in pieces, so that a large one holds nobody up.
//
//   zeroshot:set:ID      the set
//   zeroshot:name:ID     the name that people gave it, which lives as long
//   zeroshot:new:RANDOM  one that is being written
//   zeroshot:ids         the ids, in order (a sorted set)
//   zeroshot:lease:ID    who builds the set
//   zeroshot:deleted:ID  the set was deleted, and not put again since
#ifndef ZEROSHOT_STORES_REDIS_STORE_H_
#define ZEROSHOT_STORES_REDIS_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "stores/redis_client.h"
#include "stores/stored_set.h"
#include "stores/weight_store.h"

namespace stores {

struct RedisStoreOptions {
  absl::Duration ttl = absl::Hours(24 * 7);
  // Of one set; larger ones are neither put nor read. Redis itself takes no
  // value over 512 MiB.
  int64_t max_set_bytes = 256 << 20;
  StoreKeys keys;
};

// Thread rule: every method may be called from many threads at once.
class RedisStore : public WeightStore {
 public:
  // Borrows the client.
  RedisStore(RedisClient* client, const RedisStoreOptions& options);

  // A Get lets the set live on for its TTL. DataLoss: damaged; it is gone by
  // then. ResourceExhausted: larger than max_set_bytes. Unavailable,
  // DeadlineExceeded: see RedisClient::Run.
  absl::StatusOr<std::shared_ptr<const WeightSet>> Get(
      absl::string_view id) override;
  absl::StatusOr<std::shared_ptr<const WeightSet>> GetHeader(
      absl::string_view id) override;
  absl::Status CheckSize(int64_t bytes) override;
  absl::Status Put(std::shared_ptr<const WeightSet> set) override;
  absl::Status Touch(absl::string_view id) override;
  absl::Status Delete(absl::string_view id) override;
  // The mark lives as long as an unused set.
  absl::Status MarkDeleted(absl::string_view id) override;
  absl::StatusOr<DisplayName> GetDisplayName(absl::string_view id) override;
  absl::Status PutDisplayName(absl::string_view id,
                              const DisplayName& name) override;
  absl::StatusOr<std::vector<WeightSetSummary>> List(absl::string_view after,
                                                     int limit) override;

  absl::StatusOr<bool> TakeLease(absl::string_view id) override;
  void ReleaseLease(absl::string_view id) override;

 private:
  // A set's value: its size, and its first bytes.
  struct Value {
    std::string key;
    int64_t size = 0;
    std::string first = {};
    bool is_used = false;  // reading it lets it live on
  };
  absl::StatusOr<Value> Open(absl::string_view id, bool is_used);
  absl::Status Read(const Value& value, int64_t offset, absl::Span<char> out);

  RedisClient* const client_;
  const RedisStoreOptions options_;
  const std::string ttl_ms_;
  const std::string owner_;  // this server, by a random name
};

}  // namespace stores

#endif  // ZEROSHOT_STORES_REDIS_STORE_H_
