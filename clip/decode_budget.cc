#include "clip/decode_budget.h"

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/control_group.h"

namespace clip {
namespace {

DecodeBudget::Options Resolved(DecodeBudget::Options options) {
  if (options.at_once == 0) {
    const int cores = std::max<int>(1, std::thread::hardware_concurrency());
    options.at_once = 2 * base::ThreadsWithin(base::CpuQuota(), cores);
  }
  return options;
}

}  // namespace

DecodeBudget::DecodeBudget(Options options)
    : options_(Resolved(std::move(options))) {}

absl::StatusOr<DecodeBudget::Share> DecodeBudget::Take(
    int64_t bytes, const base::Caller& caller) {
  if (bytes > options_.bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("needs ", bytes, " bytes of memory to be decoded; ",
                     options_.name, " allows at most ", options_.bytes));
  }
  const absl::Time start = base::MonotonicNow();
  Waiter waiter{.bytes = bytes, .changed = {}};
  absl::Status left;
  for (bool queued = false; left.ok(); left = caller.StillWaiting()) {
    // The caller is asked above without the lock: that may take a while.
    base::MutexLock lock(&mu_);
    if (!std::exchange(queued, true)) {
      waiters_.push_back(&waiter);
      Serve();
      if (waiter.served) return Share(this, bytes);
    }
    if (!waiter.served) {
      waiter.changed.WaitUntil(
          &mu_, caller.gone ? std::min(caller.deadline,
                                       base::MonotonicNow() + kPatience)
                            : caller.deadline);
    }
    if (waiter.served) {
      waited_ += base::MonotonicNow() - start;
      return Share(this, bytes);
    }
  }
  base::MutexLock lock(&mu_);
  waited_ += base::MonotonicNow() - start;
  if (waiter.served) return Share(this, bytes);  // just now: the decode sees
  waiters_.erase(std::find(waiters_.begin(), waiters_.end(), &waiter));
  Serve();  // Others may have waited with it.
  return left;
}

void DecodeBudget::GiveBack(int64_t bytes) {
  base::MutexLock lock(&mu_);
  bytes_ -= bytes;
  --running_;
  if (!IsSmall(bytes)) {
    large_bytes_ -= bytes;
    --large_running_;
  }
  Serve();
}

int DecodeBudget::PlacesOfSmall() const {
  if (options_.small == 0 || options_.at_once == 1) return 0;
  return std::max(1, options_.at_once / 4);
}

bool DecodeBudget::Fits(const Waiter& waiter, const Waiter* overtaken) const {
  if (running_ == options_.at_once || waiter.bytes > options_.bytes - bytes_) {
    return false;
  }
  const int places = PlacesOfSmall();
  const int64_t for_large = options_.bytes - places * options_.small;
  if (IsSmall(waiter.bytes)) {
    // Beside one that was overtaken there are their own places, unless it needs
    // their memory too.
    return overtaken == nullptr || (running_ - large_running_ < places &&
                                    overtaken->bytes <= for_large);
  }
  return overtaken == nullptr && large_running_ < options_.at_once - places &&
         (large_running_ == 0 || waiter.bytes <= for_large - large_bytes_);
}

void DecodeBudget::Serve() {
  size_t kept = 0;
  const Waiter* overtaken = nullptr;
  for (Waiter* waiter : waiters_) {
    if (!Fits(*waiter, overtaken)) {
      if (overtaken == nullptr && waiter->overtaken >= kMaxOvertaken) {
        overtaken = waiter;
      }
      waiters_[kept++] = waiter;
      continue;
    }
    bytes_ += waiter->bytes;
    ++running_;
    if (!IsSmall(waiter->bytes)) {
      large_bytes_ += waiter->bytes;
      ++large_running_;
    }
    for (size_t i = 0; i < kept; ++i) ++waiters_[i]->overtaken;
    waiter->served = true;
    waiter->changed.NotifyOne();
  }
  waiters_.resize(kept);
}

DecodeBudget::Stats DecodeBudget::stats() {
  base::MutexLock lock(&mu_);
  return {.bytes = bytes_,
          .max_bytes = options_.bytes,
          .running = running_,
          .waiting = static_cast<int>(waiters_.size()),
          .waited = waited_};
}

}  // namespace clip
