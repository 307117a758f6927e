#include "clip/decode_budget.h"

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "clip/cpu_quota.h"

namespace clip {
namespace {

DecodeBudget::Options Resolved(DecodeBudget::Options options) {
  if (options.at_once == 0) {
    const int cores = std::max<int>(1, std::thread::hardware_concurrency());
    options.at_once = 2 * ThreadsWithin(CpuQuota(), cores);
  }
  return options;
}

}  // namespace

DecodeBudget::DecodeBudget(Options options)
    : options_(Resolved(std::move(options))) {}

absl::StatusOr<DecodeBudget::Share> DecodeBudget::Take(int64_t bytes,
                                                       const Caller& caller) {
  if (bytes > options_.bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("needs ", bytes, " bytes of memory to be decoded; ",
                     options_.name, " allows at most ", options_.bytes));
  }
  const absl::Time start = MonotonicNow();
  Waiter waiter{.bytes = bytes, .changed = {}};
  absl::Status left;
  for (bool queued = false; left.ok(); left = caller.StillWaiting()) {
    // The caller is asked above without the lock: that may take a while.
    MutexLock lock(&mu_);
    if (!std::exchange(queued, true)) {
      waiters_.push_back(&waiter);
      Serve();
      if (waiter.served) return Share(this, bytes);
    }
    if (!waiter.served) {
      waiter.changed.WaitUntil(
          &mu_, caller.gone
                    ? std::min(caller.deadline, MonotonicNow() + kPatience)
                    : caller.deadline);
    }
    if (waiter.served) {
      waited_ += MonotonicNow() - start;
      return Share(this, bytes);
    }
  }
  MutexLock lock(&mu_);
  waited_ += MonotonicNow() - start;
  if (waiter.served) return Share(this, bytes);  // just now: the decode sees
  waiters_.erase(std::find(waiters_.begin(), waiters_.end(), &waiter));
  Serve();  // Others may have waited with it.
  return left;
}

void DecodeBudget::GiveBack(int64_t bytes) {
  MutexLock lock(&mu_);
  bytes_ -= bytes;
  --running_;
  Serve();
}

void DecodeBudget::Serve() {
  size_t kept = 0;
  bool closed = false;  // to those behind one that was overtaken enough
  for (Waiter* waiter : waiters_) {
    const bool fits = !closed && running_ < options_.at_once &&
                      waiter->bytes <= options_.bytes - bytes_;
    if (!fits) {
      closed = closed || waiter->overtaken >= kMaxOvertaken;
      waiters_[kept++] = waiter;
      continue;
    }
    bytes_ += waiter->bytes;
    ++running_;
    for (size_t i = 0; i < kept; ++i) ++waiters_[i]->overtaken;
    waiter->served = true;
    waiter->changed.NotifyOne();
  }
  waiters_.resize(kept);
}

DecodeBudget::Stats DecodeBudget::stats() {
  MutexLock lock(&mu_);
  return {.bytes = bytes_,
          .max_bytes = options_.bytes,
          .running = running_,
          .waiting = static_cast<int>(waiters_.size()),
          .waited = waited_};
}

}  // namespace clip
