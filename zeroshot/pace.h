// How fast the device works through pictures, learnt from its batches: the
// base of saying at the door how long a newcomer would wait.
#ifndef ZEROSHOT_ZEROSHOT_PACE_H_
#define ZEROSHOT_ZEROSHOT_PACE_H_

#include <cstdint>

#include "absl/time/time.h"
#include "clip/mutex.h"

namespace zeroshot {

// Thread rule: every method may be called from many threads at once.
class Pace {
 public:
  // A batch of so many pictures took so long, waiting for its turn on the
  // device included. REQUIRES: pictures > 0.
  void BatchRan(int pictures, absl::Duration took) {
    const absl::Duration each = took / pictures;
    clip::MutexLock lock(&mu_);
    // A moving average: old batches fade as new ones are seen.
    each_ = known_ ? each_ + (each - each_) / kFade : each;
    batch_ = took;
    known_ = true;
    ++batches_;
  }

  // What so many pictures will take, one after the other; 0 until a batch ran.
  absl::Duration TimeFor(int pictures) {
    clip::MutexLock lock(&mu_);
    return each_ * pictures;
  }

  // How many batches ran.
  int64_t batches() {
    clip::MutexLock lock(&mu_);
    return batches_;
  }

  // The time of the latest batch; 0 until one ran.
  absl::Duration LatestBatch() {
    clip::MutexLock lock(&mu_);
    return batch_;
  }

 private:
  static constexpr int kFade = 4;  // batches

  clip::Mutex mu_;
  bool known_ ABSL_GUARDED_BY(mu_) = false;
  int64_t batches_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Duration each_ ABSL_GUARDED_BY(mu_);
  absl::Duration batch_ ABSL_GUARDED_BY(mu_);
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_PACE_H_
