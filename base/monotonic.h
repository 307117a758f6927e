// The clock by which the program waits and measures: it does not move when the
// system's clock is set.
#ifndef ZEROSHOT_BASE_MONOTONIC_H_
#define ZEROSHOT_BASE_MONOTONIC_H_

#include <chrono>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace base {

// The system's time when this was first asked, and from then on as much more
// as CLOCK_MONOTONIC says. Every deadline and duration is of this clock. What
// people read, and what outlives the process, is of absl::Now instead.
inline absl::Time MonotonicNow() {
  const auto now = [] {
    return absl::FromChrono(
        std::chrono::steady_clock::now().time_since_epoch());
  };
  static const absl::Time zero = absl::Now() - now();
  return zero + now();
}

}  // namespace base

#endif  // ZEROSHOT_BASE_MONOTONIC_H_
