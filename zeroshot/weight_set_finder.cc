#include "zeroshot/weight_set_finder.h"

#include "absl/status/status.h"

namespace zeroshot {

absl::StatusOr<std::shared_ptr<const WeightSet>> WeightSetFinder::Find(
    absl::string_view id, const Caller& caller) {
  auto set = store_->Get(id);
  if (!absl::IsNotFound(set.status()) || builder_ == nullptr) return set;
  const auto header = store_->GetHeader(id);
  if (!header.ok()) return set;
  const absl::StatusOr<Door::Place> place = door_.Enter();
  if (!place.ok()) return place.status();
  const auto stopping = [this] {
    return options_.stopping && options_.stopping();
  };
  Caller waiting = caller;
  waiting.gone = [&] { return stopping() || (caller.gone && caller.gone()); };
  absl::StatusOr<BuildResult> built = builder_->Rebuild(**header, waiting);
  if (absl::IsCancelled(built.status()) && stopping()) {
    return absl::UnavailableError("the server is stopping: ask again");
  }
  if (!built.ok()) return built.status();
  if (!built->cached && !built->joined && options_.on_rebuilt) {
    options_.on_rebuilt(*built);
  }
  return std::move(built->set);
}

}  // namespace zeroshot
