// Who builds a set that several servers are asked for at once: the one that
// holds the lease. It runs out by itself, so that a server that died does not
// keep the others from building.
#ifndef ZEROSHOT_ZEROSHOT_BUILD_LEASE_H_
#define ZEROSHOT_ZEROSHOT_BUILD_LEASE_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace zeroshot {

// Thread rule: every method may be called from many threads at once.
class BuildLease {
 public:
  // How long a lease lasts unless it is taken again.
  static constexpr absl::Duration kLasts = absl::Seconds(10);

  virtual ~BuildLease() = default;

  // Takes the lease for the set `id`, or takes it again, which lets it last
  // anew. False: another server has it. Unavailable, DeadlineExceeded: nobody
  // can tell; build without.
  virtual absl::StatusOr<bool> Take(absl::string_view id) = 0;

  // Gives it back, if it is this server's.
  virtual void Release(absl::string_view id) = 0;
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_BUILD_LEASE_H_
