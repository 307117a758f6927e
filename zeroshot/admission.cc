#include "zeroshot/admission.h"

#include <algorithm>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace zeroshot {
namespace {

constexpr char kRetryDelayUrl[] = "zeroshot/retry-delay-ms";
constexpr absl::Duration kRetryDelay = absl::Milliseconds(500);

}  // namespace

absl::StatusOr<Admission::Place> Admission::Enter(int places) {
  places = std::max(1, std::min(places, capacity_));
  int inside = inside_.load();
  // A call that is refused must not take places meanwhile: others would be
  // refused for it.
  while (inside + places <= capacity_) {
    if (inside_.compare_exchange_weak(inside, inside + places)) {
      return Place(this, places);
    }
  }
  absl::Status status = absl::ResourceExhaustedError(
      absl::StrCat("too many ", what_, " at once: at most ", capacity_,
                   " are allowed; try again later"));
  SetRetryDelay(status, kRetryDelay);
  return status;
}

void SetRetryDelay(absl::Status& status, absl::Duration delay) {
  status.SetPayload(kRetryDelayUrl,
                    absl::Cord(absl::StrCat(absl::ToInt64Milliseconds(delay))));
}

absl::Duration RetryDelay(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kRetryDelayUrl);
  int64_t ms = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &ms)) {
    return absl::ZeroDuration();
  }
  return absl::Milliseconds(ms);
}

}  // namespace zeroshot
