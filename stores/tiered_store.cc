#include "stores/tiered_store.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "base/monotonic.h"
#include "base/no_throw.h"

namespace stores {

class TieredStore::Copying {
 public:
  Copying(TieredStore* store, absl::string_view id) : store_(*store) {
    base::MutexLock lock(&store_.mu_);
    place_ = store_.copies_.emplace(id, &deleted_);
    deleted_ = store_.deleting_.contains(place_->first);
  }
  ~Copying() {
    base::MutexLock lock(&store_.mu_);
    store_.copies_.erase(place_);
  }
  Copying(const Copying&) = delete;
  Copying& operator=(const Copying&) = delete;

  bool deleted() {
    base::MutexLock lock(&store_.mu_);
    return deleted_;
  }

  // Of all copies of a set: it was deleted, or put again. REQUIRES: the lock.
  static void Mark(TieredStore* store, const std::string& id, bool deleted)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(store->mu_) {
    const auto [begin, end] = store->copies_.equal_range(id);
    for (auto it = begin; it != end; ++it) *it->second = deleted;
  }

 private:
  TieredStore& store_;
  std::multimap<std::string, bool*>::iterator place_;
  bool deleted_ = false;  // guarded by store_.mu_
};

TieredStore::TieredStore(const std::vector<Tier>& tiers, OnChange on_change,
                         absl::Duration touch_every)
    : on_change_(std::move(on_change)),
      touch_every_(touch_every),
      tiers_(tiers) {
  for (const Tier& tier : tiers) states_.push_back({.tier = tier});
  if (tiers.size() > 1) toucher_ = std::thread([this] { TouchSets(); });
}

TieredStore::~TieredStore() {
  {
    base::MutexLock lock(&mu_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  if (toucher_.joinable()) toucher_.join();
}

void TieredStore::Count(size_t t, const absl::Status& status, Asked asked) {
  const bool is_get = asked == Asked::kGet, is_put = asked == Asked::kPut;
  // An answer that says no is an answer: the tier works.
  const bool answered = status.ok() || absl::IsNotFound(status) ||
                        absl::IsResourceExhausted(status) ||
                        absl::IsAborted(status) ||
                        absl::IsInvalidArgument(status);
  const bool damaged = absl::IsDataLoss(status);
  bool changed = false;
  {
    base::MutexLock lock(&mu_);
    State& state = states_[t];
    if (is_get && status.ok()) ++state.hits;
    if (is_get && absl::IsNotFound(status)) ++state.misses;
    if (!answered) ++state.errors;
    const bool was_failing = state.failing || state.failing_puts;
    const bool failing = !answered && !damaged;
    if (is_put && failing) {
      state.failing_puts = true;
    } else if (is_put || failing || state.failing) {
      // A tier that answers again after an outage is well; one that only
      // refused Puts is well when one goes through.
      state.failing = failing;
      state.failing_puts = state.failing_puts && failing;
    }
    changed = was_failing != (state.failing || state.failing_puts);
  }
  if ((changed || damaged) && on_change_) {
    on_change_(tiers_[t].name, answered ? absl::OkStatus() : status);
  }
}

TieredStore::Found TieredStore::Get(absl::string_view id) {
  Found first = tiers_[0].store->Get(id);
  Count(0, first.status(), Asked::kGet);
  if (tiers_.size() == 1) return first;
  if (first.ok()) {
    NoteHit(id);
    return first;
  }
  using Looks = base::SingleFlight<std::shared_ptr<const WeightSet>>;
  return looks_.Run(
      std::string(id), "the weight set",
      [&](Looks::Flight&) { return LookBelow(id); },
      [] { return absl::OkStatus(); });
}

TieredStore::Found TieredStore::Checked(size_t t, absl::string_view id,
                                        Found found) {
  if (!found.ok() || !check_) return found;
  absl::Status good = check_(**found);
  if (good.ok()) return found;
  // It would stand in the way of the set that belongs there.
  (void)tiers_[t].store->Delete(id);
  return good;
}

absl::Status TieredStore::PutInto(size_t t,
                                  std::shared_ptr<const WeightSet> set) {
  absl::Status status = tiers_[t].store->Put(std::move(set));
  Count(t, status, Asked::kPut);
  return status;
}

TieredStore::Found TieredStore::LookBelow(absl::string_view id) {
  Copying copying(this, id);
  for (size_t t = 1; t < tiers_.size(); ++t) {
    const Found found = Checked(t, id, tiers_[t].store->Get(id));
    Count(t, found.status(), Asked::kGet);
    if (!found.ok()) continue;
    // A set that has no room above is served all the same.
    for (size_t above = 0; above < t && !copying.deleted(); ++above) {
      (void)PutInto(above, *found);
    }
    if (!copying.deleted()) SpreadDisplayName(id);
    if (!copying.deleted()) return found;
    for (size_t above = 0; above < t; ++above) {
      (void)tiers_[above].store->Delete(id);
    }
    break;
  }
  return WeightSetNotFound(id);
}

TieredStore::Found TieredStore::GetHeader(absl::string_view id) {
  for (size_t t = 0; t < tiers_.size(); ++t) {
    Found found = tiers_[t].store->GetHeader(id);
    if (t > 0) found = Checked(t, id, std::move(found));
    Count(t, found.status(), Asked::kOther);
    if (found.ok()) return found;
  }
  return WeightSetNotFound(id);
}

absl::Status TieredStore::Put(std::shared_ptr<const WeightSet> set) {
  {
    base::MutexLock lock(&mu_);
    Copying::Mark(this, set->id, /*deleted=*/false);
    touch_at_[set->id] = base::MonotonicNow() + touch_every_;
  }
  if (absl::Status first = PutInto(0, set); !first.ok()) return first;
  bool was_lacking = false;
  for (size_t t = 1; t < tiers_.size(); ++t) {
    absl::Status status = tiers_[t].store->Touch(set->id);
    if (!absl::IsNotFound(status) && !absl::IsAborted(status)) {
      Count(t, status, Asked::kOther);
      continue;
    }
    status = PutInto(t, set);
    was_lacking = was_lacking || status.ok();
    // Works, but will not have this set: the others should know.
    if (absl::IsResourceExhausted(status) && on_change_) {
      on_change_(tiers_[t].name, status);
    }
  }
  if (was_lacking) SpreadDisplayName(set->id);
  return absl::OkStatus();
}

absl::StatusOr<DisplayName> TieredStore::GetDisplayName(absl::string_view id) {
  DisplayName newest;
  for (size_t t = 0; t < tiers_.size(); ++t) {
    absl::StatusOr<DisplayName> name = tiers_[t].store->GetDisplayName(id);
    if (name.ok() && CountsRatherThan(*name, newest)) {
      newest = *std::move(name);
    }
  }
  // Should the tier that had it lose it.
  if (!newest.text.empty()) (void)tiers_[0].store->PutDisplayName(id, newest);
  return newest;
}

absl::Status TieredStore::PutDisplayName(absl::string_view id,
                                         const DisplayName& name) {
  const absl::Status result = PutName(id, name);
  ++naming_changes_;
  return result;
}

absl::Status TieredStore::PutName(absl::string_view id,
                                  const DisplayName& name) {
  absl::Status result = WeightSetNotFound(id);
  for (size_t t = 0; t < tiers_.size(); ++t) {
    const absl::Status status = tiers_[t].store->PutDisplayName(id, name);
    if (status.ok()) result = status;
  }
  return result;
}

void TieredStore::SpreadDisplayName(absl::string_view id) {
  const absl::StatusOr<DisplayName> name = GetDisplayName(id);
  if (name.ok() && !name->text.empty()) (void)PutName(id, *name);
}

absl::Status TieredStore::Touch(absl::string_view id) {
  absl::Status found = WeightSetNotFound(id);
  for (size_t t = 0; t < tiers_.size(); ++t) {
    absl::Status status = tiers_[t].store->Touch(id);
    Count(t, status, Asked::kOther);
    if (status.ok()) found = status;
  }
  return found;
}

void TieredStore::NoteHit(absl::string_view id) {
  for (size_t t = 1; t < tiers_.size(); ++t) tiers_[t].store->NoteUse(id);
  const absl::Time now = base::MonotonicNow();
  base::MutexLock lock(&mu_);
  const auto at = touch_at_.find(id);
  if (at != touch_at_.end() && now < at->second) return;
  if (to_touch_.size() == kMaxToTouch) return;
  touch_at_[id] = now + touch_every_;
  to_touch_.emplace_back(id);
  wake_.NotifyAll();
}

void TieredStore::TouchSets() {
  while (true) {
    std::string id;
    {
      base::MutexLock lock(&mu_);
      while (to_touch_.empty() && !stopping_) wake_.Wait(&mu_);
      if (stopping_) return;
      id = std::move(to_touch_.front());
      to_touch_.pop_front();
      // What is due needs no entry. Now and then, for it takes a while.
      if (to_touch_.empty() && touch_at_.size() > kMaxToTouch) {
        const absl::Time now = base::MonotonicNow();
        absl::erase_if(touch_at_,
                       [now](const auto& at) { return at.second <= now; });
      }
    }
    (void)base::NoThrow("a touch", [&] {
      TouchBelow(id);
      return absl::OkStatus();
    });
  }
}

void TieredStore::TouchBelow(const std::string& id) {
  Copying copying(this, id);
  for (size_t t = 1; t < tiers_.size(); ++t) {
    const absl::Status status = tiers_[t].store->Touch(id);
    Count(t, status, Asked::kOther);
    if (absl::IsAborted(status)) {
      (void)Delete(id);
      return;
    }
    if (!absl::IsNotFound(status)) continue;
    const Found set = tiers_[0].store->Get(id);
    if (!set.ok() || copying.deleted()) return;
    (void)PutInto(t, *set);
    if (copying.deleted()) (void)tiers_[t].store->Delete(id);
  }
  // Also what a tier missed while it failed.
  if (!copying.deleted()) SpreadDisplayName(id);
}

absl::Status TieredStore::Delete(absl::string_view id) {
  const std::string key(id);
  {
    base::MutexLock lock(&mu_);
    deleting_.insert(key);
    Copying::Mark(this, key, /*deleted=*/true);
    touch_at_.erase(key);
  }
  const absl::Cleanup done = [&] {
    base::MutexLock lock(&mu_);
    ++naming_changes_;
    deleting_.erase(deleting_.find(key));
  };
  absl::Status failure;
  bool deleted = false;
  for (size_t t = tiers_.size(); t-- > 0;) {
    failure.Update(tiers_[t].store->MarkDeleted(id));
    absl::Status status = tiers_[t].store->Delete(id);
    Count(t, status, Asked::kOther);
    deleted = deleted || status.ok();
    if (!status.ok() && !absl::IsNotFound(status)) failure.Update(status);
  }
  if (!failure.ok()) return failure;
  return deleted ? absl::OkStatus() : WeightSetNotFound(id);
}

absl::StatusOr<std::vector<WeightSetSummary>> TieredStore::List(
    absl::string_view after, int limit) {
  std::map<std::string, WeightSetSummary> by_id;
  for (size_t t = 0; t < tiers_.size(); ++t) {
    auto sets = tiers_[t].store->List(after, limit);
    Count(t, sets.status(), Asked::kOther);
    if (!sets.ok()) continue;
    for (WeightSetSummary& set : *sets) {
      std::string id = set.id;
      by_id.emplace(std::move(id), std::move(set));
    }
  }
  std::vector<WeightSetSummary> list;
  for (auto& [id, set] : by_id) {
    if (list.size() == limit) break;
    list.push_back(std::move(set));
  }
  return list;
}

std::vector<TieredStore::TierStats> TieredStore::stats() {
  std::vector<TierStats> stats;
  {
    base::MutexLock lock(&mu_);
    for (const State& state : states_) {
      stats.push_back(
          {state.tier.name, state.hits, state.misses, state.errors, {}});
    }
  }
  for (size_t t = 0; t < tiers_.size(); ++t) {
    stats[t].size = tiers_[t].store->size();
  }
  return stats;
}

}  // namespace stores
