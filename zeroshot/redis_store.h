// The tier that servers share: Redis or Valkey. A set is two keys, its header
// and its weights (zeroshot/stored_set.h), both of which expire unless they
// are used; the header, which is the specification, outlives the weights.
//
//   zeroshot:header:ID  zeroshot:weights:ID  zeroshot:lease:ID
//   zeroshot:deleted:ID the set was deleted, and not put again since
//   zeroshot:ids        the ids, in order (a sorted set)
#ifndef ZEROSHOT_ZEROSHOT_REDIS_STORE_H_
#define ZEROSHOT_ZEROSHOT_REDIS_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "zeroshot/build_lease.h"
#include "zeroshot/redis_client.h"
#include "zeroshot/weight_store.h"

namespace zeroshot {

struct RedisStoreOptions {
  absl::Duration ttl = absl::Hours(24 * 7);  // of weights; headers: 4 times
  // Of one set. Redis itself takes no value over 512 MiB.
  int64_t max_set_bytes = 256 << 20;
};

// Thread rule: every method may be called from many threads at once.
class RedisStore : public WeightStore, public BuildLease {
 public:
  // Borrows the client.
  RedisStore(RedisClient* client, const RedisStoreOptions& options);

  // A Get lets the set live on for its TTL. DataLoss: damaged; what is
  // damaged of it is gone by then. Unavailable, DeadlineExceeded: see
  // RedisClient::Run.
  absl::StatusOr<std::shared_ptr<const WeightSet>> Get(
      absl::string_view id) override;
  absl::StatusOr<std::shared_ptr<const WeightSet>> GetHeader(
      absl::string_view id) override;
  // ResourceExhausted: larger than max_set_bytes.
  absl::Status Put(std::shared_ptr<const WeightSet> set) override;
  absl::Status Touch(absl::string_view id) override;
  absl::Status Delete(absl::string_view id) override;
  // The mark lives as long as an unused set.
  absl::Status MarkDeleted(absl::string_view id) override;
  absl::StatusOr<std::vector<WeightSetSummary>> List(absl::string_view after,
                                                     int limit) override;

  absl::StatusOr<bool> Take(absl::string_view id) override;
  void Release(absl::string_view id) override;

 private:
  // Adds the sets of a page of ids, forgetting ids whose set has expired.
  absl::Status ListPage(const std::vector<std::string>& ids,
                        std::vector<WeightSetSummary>* sets);

  RedisClient* const client_;
  const RedisStoreOptions options_;
  const std::string ttl_ms_, header_ttl_ms_;
  const std::string owner_;  // this server, by a random name
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_REDIS_STORE_H_
