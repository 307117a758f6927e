// Mutex, MutexLock and CondVar: std::mutex with clang's thread-safety
// annotations, as in LevelDB's port/. We do not use absl::Mutex for our own
// locks because ThreadSanitizer cannot see into the distribution's
// uninstrumented build of it.
#ifndef ZEROSHOT_BASE_MUTEX_H_
#define ZEROSHOT_BASE_MUTEX_H_

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "base/monotonic.h"

namespace base {

class ABSL_LOCKABLE Mutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mu_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mu_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mu_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex* mu) ABSL_EXCLUSIVE_LOCK_FUNCTION(mu) : mu_(mu) {
    mu_->Lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mu_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mu_;
};

// REQUIRES for every wait: the caller holds `mu`. Wake-ups may be spurious.
class CondVar {
 public:
  void Wait(Mutex* mu) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    std::unique_lock<std::mutex> lock(mu->mu_, std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }

  // Returns false if `deadline`, of MonotonicNow, passed first.
  bool WaitUntil(Mutex* mu, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    // With far more than this the system's own sums overflow.
    constexpr absl::Duration kLongest = absl::Hours(24);
    const absl::Duration left = deadline - MonotonicNow();
    const auto wait = absl::ToChronoNanoseconds(
        std::clamp(left, absl::ZeroDuration(), kLongest));
    std::unique_lock<std::mutex> lock(mu->mu_, std::adopt_lock);
    const bool woken = cv_.wait_for(lock, wait) == std::cv_status::no_timeout;
    lock.release();
    return woken || left > kLongest;
  }

  void NotifyOne() { cv_.notify_one(); }
  void NotifyAll() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace base

#endif  // ZEROSHOT_BASE_MUTEX_H_
