#include "zeroshot/tiered_store.h"

#include <utility>

#include "clip/no_throw.h"

namespace zeroshot {

TieredStore::TieredStore(const std::vector<Tier>& tiers, OnChange on_change)
    : on_change_(std::move(on_change)), tiers_(tiers) {
  for (const Tier& tier : tiers) states_.push_back({.tier = tier});
}

void TieredStore::Count(size_t t, const absl::Status& status, Asked asked) {
  const bool is_get = asked == Asked::kGet, is_put = asked == Asked::kPut;
  // An answer that says no is an answer: the tier works.
  const bool answered = status.ok() || absl::IsNotFound(status) ||
                        absl::IsResourceExhausted(status) ||
                        absl::IsInvalidArgument(status);
  const bool damaged = absl::IsDataLoss(status);
  bool changed = false;
  {
    clip::MutexLock lock(&mu_);
    State& state = states_[t];
    if (is_get && status.ok()) ++state.hits;
    if (is_get && absl::IsNotFound(status)) ++state.misses;
    if (!answered) ++state.errors;
    const bool was_failing = state.failing || state.failing_puts;
    const bool failing = !answered && !damaged;
    if (is_put && failing) {
      state.failing_puts = true;
    } else if (is_put || failing || state.failing) {
      // Who answers again after an outage is well; who has only refused Puts
      // is well when one goes through.
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
  if (first.ok() || tiers_.size() == 1) return first;
  const std::string key(id);
  std::shared_ptr<Look> look;
  {
    clip::MutexLock lock(&mu_);
    std::shared_ptr<Look>& under_way = looks_[key];
    if (under_way != nullptr) {
      look = under_way;
      while (!look->found.has_value()) look->done.Wait(&mu_);
      return *look->found;
    }
    look = under_way = std::make_shared<Look>();
  }
  // Whatever happens, others wait for it.
  const Found found =
      clip::NoThrow("the weight set", [&] { return LookBelow(id); });
  clip::MutexLock lock(&mu_);
  looks_.erase(key);
  look->found = found;
  look->done.NotifyAll();
  return found;
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

TieredStore::Found TieredStore::LookBelow(absl::string_view id) {
  for (size_t t = 1; t < tiers_.size(); ++t) {
    const Found found = Checked(t, id, tiers_[t].store->Get(id));
    Count(t, found.status(), Asked::kGet);
    if (!found.ok()) continue;
    // A set that has no room above is served all the same.
    for (size_t above = 0; above < t; ++above) {
      Count(above, tiers_[above].store->Put(*found), Asked::kPut);
    }
    return found;
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
  for (size_t t = 0; t < tiers_.size(); ++t) {
    absl::Status status = tiers_[t].store->Put(set);
    Count(t, status, Asked::kPut);
    if (t == 0 && !status.ok()) return status;
    // Works, but will not have this set: the others should know.
    if (absl::IsResourceExhausted(status) && on_change_) {
      on_change_(tiers_[t].name, status);
    }
  }
  return absl::OkStatus();
}

absl::Status TieredStore::Delete(absl::string_view id) {
  absl::Status failure;
  bool deleted = false;
  for (size_t t = tiers_.size(); t-- > 0;) {
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
    clip::MutexLock lock(&mu_);
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

}  // namespace zeroshot
