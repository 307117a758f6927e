// The one that waits for an answer, and until when: checked between steps so
// that no work is done for a caller who has left.
#ifndef ZEROSHOT_BASE_CALLER_H_
#define ZEROSHOT_BASE_CALLER_H_

#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/monotonic.h"
#include "base/steps.h"

namespace base {

inline absl::Status DeadlinePassed() {
  return absl::DeadlineExceededError("the call's deadline has passed");
}

inline absl::Status CallerGone() {
  return absl::CancelledError("the caller has gone");
}

struct Caller {
  absl::Time deadline = absl::InfiniteFuture();  // of MonotonicNow
  std::function<bool()> gone;  // may be null; callable from any thread
  Steps* steps = nullptr;      // where what is done is noted; null: nowhere

  // OK while the answer is wanted, else DeadlineExceeded or Cancelled.
  absl::Status StillWaiting() const {
    if (MonotonicNow() >= deadline) return DeadlinePassed();
    if (gone && gone()) return CallerGone();
    return absl::OkStatus();
  }
};

}  // namespace base

#endif  // ZEROSHOT_BASE_CALLER_H_
