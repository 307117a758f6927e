#include "stores/weight_store.h"

#include <algorithm>

#include "absl/time/clock.h"

namespace stores {

absl::Status GiveDisplayName(WeightStore* store, absl::string_view id,
                             absl::string_view text) {
  DisplayName name{std::string(text), absl::ToUnixMicros(absl::Now())};
  // Another server's clock may be ahead of ours.
  if (const auto before = store->GetDisplayName(id); before.ok()) {
    if (before->text == text) return absl::OkStatus();
    name.given_us = std::max(name.given_us, before->given_us + 1);
  }
  return store->PutDisplayName(id, name);
}

}  // namespace stores
