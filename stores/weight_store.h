// Where weight sets are kept. One interface, one shared test suite
// (tests/stores/weight_store_suite.h) for every tier.
#ifndef ZEROSHOT_STORES_WEIGHT_STORE_H_
#define ZEROSHOT_STORES_WEIGHT_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "stores/display_name.h"
#include "stores/weight_set.h"

namespace stores {

// What a store holds. Zeros: it does not know, as of a store shared by many.
struct StoreSize {
  int64_t sets = 0;
  int64_t bytes = 0;
  int64_t max_bytes = 0;
};

// Thread rule: every method may be called from many threads at once.
class WeightStore {
 public:
  virtual ~WeightStore() = default;

  // NotFound: no such set (the message says to call BuildClassifier, or to
  // import it, again).
  // DataLoss: stored bytes do not match their checksum. Unavailable: the
  // store cannot be reached.
  virtual absl::StatusOr<std::shared_ptr<const WeightSet>> Get(
      absl::string_view id) = 0;

  // All of the set but its weights, which may be there or not: what a
  // description of it needs. To be looked at is not to be used: it changes
  // nothing in what goes first. NotFound, DataLoss, Unavailable as above.
  virtual absl::StatusOr<std::shared_ptr<const WeightSet>> GetHeader(
      absl::string_view id) = 0;

  // Whether a set that takes so many bytes (WeightSet::SizeBytes) can be put at
  // all; asked before the set is made. ResourceExhausted: it is larger than the
  // store may hold.
  virtual absl::Status CheckSize(int64_t /*bytes*/) { return absl::OkStatus(); }

  // Stores a set under its id; putting the same id again changes nothing.
  // ResourceExhausted: the set alone is larger than the store may hold.
  virtual absl::Status Put(std::shared_ptr<const WeightSet> set) = 0;

  // Counts as a use of the set without reading it: it lives on as long as one
  // that was read now. NotFound: it is not there. Aborted: it is marked as
  // deleted.
  virtual absl::Status Touch(absl::string_view id) = 0;

  // A tier above this one had the set: nothing is read or written, but of this
  // server's sets it is now the last to go.
  virtual void NoteUse(absl::string_view /*id*/) {}

  // NotFound: no such set.
  virtual absl::Status Delete(absl::string_view id) = 0;

  // Tells servers that share the store, and may have the set above it, that it
  // was deleted, until it is put again: see Touch.
  virtual absl::Status MarkDeleted(absl::string_view /*id*/) {
    return absl::OkStatus();
  }

  // The name that the set was given (stores/display_name.h); none if it was
  // given none, is not there, or the store keeps no names. Unavailable: the
  // store cannot be reached.
  virtual absl::StatusOr<DisplayName> GetDisplayName(absl::string_view /*id*/) {
    return DisplayName();
  }

  // Keeps the name beside the set, unless the set has one that counts rather
  // than it. It goes when the set does. NotFound: no such set. GiveDisplayName
  // is what callers want.
  virtual absl::Status PutDisplayName(absl::string_view id,
                                      const DisplayName& /*name*/) {
    return WeightSetNotFound(id);
  }

  // Up to `limit` sets with ids greater than `after`, in the order of ids.
  // Holds one header at a time. To be listed is not to be used.
  virtual absl::StatusOr<std::vector<WeightSetSummary>> List(
      absl::string_view after, int limit) = 0;

  // Of the servers that share the store, the one that holds a set's lease
  // builds it. Takes the lease, or takes it again, which prolongs it; it
  // runs out by itself, so that a server that died keeps nobody from building.
  // False: another server has it. Unavailable, DeadlineExceeded: nobody can
  // tell; build without.
  static constexpr absl::Duration kLeaseLasts = absl::Seconds(10);
  virtual absl::StatusOr<bool> TakeLease(absl::string_view /*id*/) {
    return true;
  }
  // Gives it back, if it is this server's.
  virtual void ReleaseLease(absl::string_view /*id*/) {}

  virtual StoreSize size() { return {}; }
};

// Gives a set of the store a name that counts rather than any before. Nothing
// is written where it has that name. NotFound: no such set. REQUIRES:
// CheckDisplayName(text).ok().
absl::Status GiveDisplayName(WeightStore* store, absl::string_view id,
                             absl::string_view text);

}  // namespace stores

#endif  // ZEROSHOT_STORES_WEIGHT_STORE_H_
