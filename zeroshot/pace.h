// How fast the devices work through pictures, learnt from their batches: the
// base of saying at the door how long a newcomer would wait, and of noticing a
// device that is stuck.
#ifndef ZEROSHOT_ZEROSHOT_PACE_H_
#define ZEROSHOT_ZEROSHOT_PACE_H_

#include <cstdint>
#include <set>

#include "absl/time/time.h"
#include "clip/mutex.h"

namespace zeroshot {

// Thread rule: every method may be called from many threads at once. Times are
// of clip::MonotonicNow.
class Pace {
 public:
  // A batch is handed to the model. REQUIRES: its BatchRan follows.
  void BatchBegan(absl::Time now) {
    clip::MutexLock lock(&mu_);
    if (running_.empty()) busy_since_ = now;
    running_.insert(now);
  }

  // That batch, which began then, of so many pictures has ended; its time is
  // that of waiting for a turn on the device too. REQUIRES: pictures > 0.
  void BatchRan(int pictures, absl::Time began, absl::Time now) {
    clip::MutexLock lock(&mu_);
    running_.erase(running_.find(began));
    batch_ = now - began;
    // Of several that run at once each adds only the time since the one before
    // it ended: together they say how fast pictures leave.
    const absl::Duration each = (now - busy_since_) / pictures;
    busy_since_ = now;
    // A moving average: old batches fade as new ones are seen.
    each_ = batches_ > 0 ? each_ + (each - each_) / kFade : each;
    ++batches_;
  }

  // What so many pictures will take all devices together; 0 until a batch ran.
  absl::Duration TimeFor(int pictures) {
    clip::MutexLock lock(&mu_);
    return each_ * pictures;
  }

  // How many batches ran.
  int64_t batches() {
    clip::MutexLock lock(&mu_);
    return batches_;
  }

  // The time of the latest batch that ended; 0 until one did.
  absl::Duration LatestBatch() {
    clip::MutexLock lock(&mu_);
    return batch_;
  }

  // When the oldest of the batches running now began; without one, never.
  absl::Time OldestBegan() {
    clip::MutexLock lock(&mu_);
    return running_.empty() ? absl::InfiniteFuture() : *running_.begin();
  }

 private:
  static constexpr int kFade = 4;  // batches

  clip::Mutex mu_;
  std::multiset<absl::Time> running_ ABSL_GUARDED_BY(mu_);  // their beginnings
  // While batches run: when the latest ended, or when they began to.
  absl::Time busy_since_ ABSL_GUARDED_BY(mu_);
  int64_t batches_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Duration each_ ABSL_GUARDED_BY(mu_);
  absl::Duration batch_ ABSL_GUARDED_BY(mu_);
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_PACE_H_
