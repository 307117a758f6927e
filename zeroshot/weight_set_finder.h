// A weight set by its id: from the store or, if the store has no more of it
// than its header, built again from the specification there.
#ifndef ZEROSHOT_ZEROSHOT_WEIGHT_SET_FINDER_H_
#define ZEROSHOT_ZEROSHOT_WEIGHT_SET_FINDER_H_

#include <functional>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "zeroshot/caller.h"
#include "zeroshot/door.h"
#include "zeroshot/weight_set.h"
#include "zeroshot/weight_set_builder.h"
#include "zeroshot/weight_store.h"

namespace zeroshot {

struct FinderOptions {
  int max_waiting = 64;  // calls that may wait for builds at once
  // Whether builds should end, since the server does; may be null.
  std::function<bool()> stopping;
  // A set was built again; may be null.
  std::function<void(const BuildResult&)> on_rebuilt;
};

// Thread rule: every method may be called from many threads at once.
class WeightSetFinder {
 public:
  // Borrows store and builder. Without a builder nothing is built again.
  explicit WeightSetFinder(WeightStore* store,
                           WeightSetBuilder* builder = nullptr,
                           FinderOptions options = {})
      : store_(store),
        builder_(builder),
        options_(std::move(options)),
        door_("calls that wait for a weight set to be built again",
              options_.max_waiting) {}

  // NotFound: no such set, and it cannot be built here. FailedPrecondition: it
  // cannot, being another model's. ResourceExhausted, with a retry delay: too
  // many builds, or calls that wait for them. Unavailable: stopping.
  // DeadlineExceeded, Cancelled: the caller has left.
  absl::StatusOr<std::shared_ptr<const WeightSet>> Find(absl::string_view id,
                                                        const Caller& caller);

 private:
  WeightStore* const store_;
  WeightSetBuilder* const builder_;  // may be null
  const FinderOptions options_;
  Door door_;
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_WEIGHT_SET_FINDER_H_
