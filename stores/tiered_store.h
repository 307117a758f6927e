// Several stores as one, the quickest first.
//
//   Get      finds a set further down and puts it into the tiers above
//   Put      puts a set into every tier that lacks it
//   in use   a set that memory answers with is touched in the tiers below, from
//            time to time and in the background; one that lacks it gets it
//   Delete   deletes from every tier, and wins against all that is under way
//
// A tier that fails is passed over, counted, and reported once per outage; a
// set that only it could have is NotFound meanwhile, and is built again.
#ifndef ZEROSHOT_STORES_TIERED_STORE_H_
#define ZEROSHOT_STORES_TIERED_STORE_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "base/single_flight.h"
#include "stores/weight_store.h"

namespace stores {

// Thread rule: every method may be called from many threads at once; a set
// asked for by many at once is read from below memory once.
class TieredStore : public WeightStore {
 public:
  struct Tier {
    std::string name;  // "memory", "disk", "redis"
    WeightStore* store = nullptr;
  };
  struct TierStats {
    std::string name;
    int64_t hits = 0, misses = 0, errors = 0;  // of Gets, Puts and Lists
    StoreSize size;
  };
  // A tier began to fail, is well again (OK), found damaged bytes (DataLoss,
  // each time), or refused a set as too large (ResourceExhausted, each time).
  using OnChange =
      std::function<void(const std::string& tier, const absl::Status&)>;

  // How often a set in use is touched in the tiers below, unless they forget
  // sooner.
  static constexpr absl::Duration kTouchEvery = absl::Hours(1);

  // Borrows the stores. REQUIRES: at least one; the first is quick, since it
  // is asked by every caller for itself. `on_change` may be null.
  TieredStore(const std::vector<Tier>& tiers, OnChange on_change,
              absl::Duration touch_every = kTouchEvery);
  ~TieredStore() override;

  // What every set, and every header without weights, from below the first tier
  // must pass: see CheckStored. One that does not is damage: it is deleted from
  // its tier, counted and reported, and never served. REQUIRES: called before
  // other threads use the store.
  using Check = std::function<absl::Status(const WeightSet&)>;
  void SetCheck(Check check) { check_ = std::move(check); }

  absl::StatusOr<std::shared_ptr<const WeightSet>> Get(
      absl::string_view id) override;
  absl::StatusOr<std::shared_ptr<const WeightSet>> GetHeader(
      absl::string_view id) override;
  absl::Status CheckSize(int64_t bytes) override {
    return tiers_[0].store->CheckSize(bytes);
  }
  // The first tier must take the set; the others' failures are passed over.
  absl::Status Put(std::shared_ptr<const WeightSet> set) override;
  absl::Status Touch(absl::string_view id) override;
  // From every tier. A set that is just read from below, or being put there
  // because it is in use, does not come back. Servers that share a tier let go
  // of it when they touch it next. Unavailable: a tier that fails may still
  // have it.
  absl::Status Delete(absl::string_view id) override;
  // The one of all tiers' that counts; a tier that fails is passed over, and
  // reported by what is asked of its sets.
  absl::StatusOr<DisplayName> GetDisplayName(absl::string_view id) override;
  absl::Status PutDisplayName(absl::string_view id,
                              const DisplayName& name) override;
  absl::StatusOr<std::vector<WeightSetSummary>> List(absl::string_view after,
                                                     int limit) override;

  // How often a name was given or a set deleted here: while it stays the same,
  // only other servers have changed what sets are called.
  int64_t naming_changes() const { return naming_changes_; }

  // Of the last tier, which is the one that is shared if any is.
  absl::StatusOr<bool> TakeLease(absl::string_view id) override {
    return tiers_.back().store->TakeLease(id);
  }
  void ReleaseLease(absl::string_view id) override {
    tiers_.back().store->ReleaseLease(id);
  }

  std::vector<TierStats> stats();

 private:
  using Found = absl::StatusOr<std::shared_ptr<const WeightSet>>;
  struct State {
    Tier tier;
    int64_t hits = 0, misses = 0, errors = 0;
    bool failing = false;
    bool failing_puts = false;  // alone, as a full disk does
  };
  enum class Asked { kGet, kPut, kOther };

  // While it lives a set is copied from one tier to others. Whether the set was
  // deleted meanwhile is asked when that is done, to undo it.
  class Copying;

  // What tier `t`'s answer means for its counts and health.
  void Count(size_t t, const absl::Status& status, Asked asked);
  Found LookBelow(absl::string_view id);
  // What tier `t` found, or DataLoss if it does not pass the check.
  Found Checked(size_t t, absl::string_view id, Found found);
  // Puts the set into tier `t` and tells of it.
  absl::Status PutInto(size_t t, std::shared_ptr<const WeightSet> set);

  // Copies the name that counts to the tiers that have the set without it.
  void SpreadDisplayName(absl::string_view id);
  // Into every tier.
  absl::Status PutName(absl::string_view id, const DisplayName& name);

  // Memory had the set: touches it below, if it is time to, on a thread for
  // that.
  void NoteHit(absl::string_view id);
  void TouchSets();
  void TouchBelow(const std::string& id);

  // Sets that wait to be touched, at most: the rest wait for their next use.
  static constexpr size_t kMaxToTouch = 1024;

  const OnChange on_change_;
  const absl::Duration touch_every_;
  Check check_;  // may be null
  std::vector<Tier> tiers_;
  std::atomic<int64_t> naming_changes_{0};
  base::SingleFlight<std::shared_ptr<const WeightSet>>
      looks_;  // below the first
  base::Mutex mu_;
  std::vector<State> states_ ABSL_GUARDED_BY(mu_);  // of each tier
  std::multimap<std::string, bool*> copies_ ABSL_GUARDED_BY(mu_);  // deleted?
  std::multiset<std::string> deleting_ ABSL_GUARDED_BY(mu_);
  // When a set that is used is touched next; those not here, at once.
  absl::flat_hash_map<std::string, absl::Time> touch_at_ ABSL_GUARDED_BY(mu_);
  std::deque<std::string> to_touch_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  base::CondVar wake_;
  std::thread toucher_;  // if there are tiers below
};

}  // namespace stores

#endif  // ZEROSHOT_STORES_TIERED_STORE_H_
