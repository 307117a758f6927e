// How long batches of images take, learnt from those that ran. Admission uses
// it to predict when a new call would start, and the watchdog to notice a
// device that is stuck.
#ifndef ZEROSHOT_ZEROSHOT_LATENCY_MODEL_H_
#define ZEROSHOT_ZEROSHOT_LATENCY_MODEL_H_

#include <cstdint>
#include <map>

#include "absl/time/time.h"
#include "base/mutex.h"

namespace zeroshot {

// A batch of n images takes a + b x n: a for what every batch costs (a GPU
// hardly sees anything else while batches are small), b for each image (a CPU
// hardly sees anything else). Both are fitted to the latest batches by least
// squares, neither below zero, so that a size that was never seen is predicted
// between "as long as the batches seen" and "in proportion". As long as all
// batches seen had one size the first is assumed, because a prediction at
// admission must not be longer than the truth.
//
// Thread rule: every method may be called from many threads at once. Times are
// of base::MonotonicNow.
class LatencyModel {
 public:
  // A batch is handed to the model. REQUIRES: its BatchEnded follows.
  void BatchBegan(int images, absl::Time now);

  // The batch of `images` that began at `began` has ended. Its time includes
  // waiting for a turn on the device. REQUIRES: images > 0.
  void BatchEnded(int images, absl::Time began, absl::Time now);

  // What a batch of so many images takes; 0 until a batch ran.
  absl::Duration BatchTime(int images);

  // How long it takes until the batch can start that holds an image with
  // `ahead` others before it, those in running batches included: what is left
  // of the running batches and the whole batches of `max_batch` before it, of
  // which `at_once` run at the same time. 0 until a batch ran.
  absl::Duration TimeToStart(int ahead, int max_batch, int at_once,
                             absl::Time now);

  // How many batches ran.
  int64_t batches();

  // The time of the latest batch that ended; 0 until one did.
  absl::Duration LatestBatch();

  // When the oldest of the batches running now began; without one, never.
  absl::Time OldestBegan();

 private:
  absl::Duration Predict(int images) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  base::Mutex mu_;
  // Running batches: images by beginning.
  std::multimap<absl::Time, int> running_ ABSL_GUARDED_BY(mu_);
  int64_t batches_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Duration latest_ ABSL_GUARDED_BY(mu_);
  // Sums over the batches that ended, old ones faded: of 1, n, n^2, seconds,
  // and n x seconds.
  double count_ ABSL_GUARDED_BY(mu_) = 0;
  double n_ ABSL_GUARDED_BY(mu_) = 0;
  double nn_ ABSL_GUARDED_BY(mu_) = 0;
  double t_ ABSL_GUARDED_BY(mu_) = 0;
  double nt_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_LATENCY_MODEL_H_
