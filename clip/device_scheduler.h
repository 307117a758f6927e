// Order on one device: image batches and text steps use it one at a time.
//
// When both kinds wait they alternate, so that neither starves: an image batch
// waits for the text step that is running and for no second one, however many
// builds are queued; a build goes on under a steady stream of images. Within a
// kind, first come, first served.
//
// Thread rule: any number of threads; a thread holds one turn at a time.
#ifndef ZEROSHOT_CLIP_DEVICE_SCHEDULER_H_
#define ZEROSHOT_CLIP_DEVICE_SCHEDULER_H_

#include <cstdint>

#include "base/mutex.h"

namespace clip {

class DeviceScheduler {
 public:
  enum Kind { kImages = 0, kText = 1 };

  // Blocks until it is this caller's turn; the device is theirs until End.
  void Begin(Kind kind) {
    base::MutexLock lock(&mu_);
    if (!busy_) {  // then nobody waits: End hands over
      busy_ = true;
      return;
    }
    const int64_t ticket = asked_[kind]++;
    while (served_[kind] <= ticket) changed_.Wait(&mu_);
  }

  // REQUIRES: the caller's Begin(kind) has returned.
  void End(Kind kind) {
    base::MutexLock lock(&mu_);
    const Kind other = kind == kImages ? kText : kImages;
    const Kind next = Waits(other) ? other : kind;
    busy_ = Waits(next);
    if (busy_) {
      ++served_[next];
      changed_.NotifyAll();
    }
  }

  // Callers in Begin that are not served yet.
  int64_t waiting() {
    base::MutexLock lock(&mu_);
    return asked_[kImages] - served_[kImages] + asked_[kText] - served_[kText];
  }

 private:
  bool Waits(Kind kind) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return asked_[kind] > served_[kind];
  }

  base::Mutex mu_;
  base::CondVar changed_;
  bool busy_ ABSL_GUARDED_BY(mu_) = false;
  int64_t asked_[2] ABSL_GUARDED_BY(mu_) = {0, 0};   // tickets given out
  int64_t served_[2] ABSL_GUARDED_BY(mu_) = {0, 0};  // tickets called
};

// A turn held for a scope.
class DeviceTurn {
 public:
  DeviceTurn(DeviceScheduler* scheduler, DeviceScheduler::Kind kind)
      : scheduler_(scheduler), kind_(kind) {
    scheduler_->Begin(kind_);
  }
  ~DeviceTurn() { scheduler_->End(kind_); }
  DeviceTurn(const DeviceTurn&) = delete;
  DeviceTurn& operator=(const DeviceTurn&) = delete;

 private:
  DeviceScheduler* const scheduler_;
  const DeviceScheduler::Kind kind_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_DEVICE_SCHEDULER_H_
