// Pull batching without a delay knob: a batch is whatever queued while the
// devices were busy. An idle device starts at once, busy ones get large batches
// (LevelDB's writer queue works the same way).
#ifndef ZEROSHOT_ZEROSHOT_BATCHER_H_
#define ZEROSHOT_ZEROSHOT_BATCHER_H_

#include <functional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/caller.h"
#include "zeroshot/batch_queue.h"

namespace zeroshot {

// Thread rule: Run may be called from many threads at once; the `run`
// function is called by threads of the batcher's own, each one batch at a time.
//
// Guarantee: jobs start in the order of their arrival. A job with n jobs queued
// ahead of it is in the n / max_batch + 1 st batch from now at the latest,
// which starts at the latest when fewer than AtOnce::of_any_size of the batches
// ahead of it, those running now included, have not ended. (With one device and
// AtOnce{1, 1}: within n / max_batch + 1 runs.) Jobs whose caller no longer
// waits are dropped unrun.
template <typename Job>
class Batcher {
 public:
  // `run` gets 1 to max_batch jobs and writes each job's answer into it.
  using RunBatch = std::function<void(absl::Span<Job* const>)>;

  // Has as many threads as batches may run at once.
  Batcher(size_t max_batch, RunBatch run, AtOnce at_once = {})
      : queue_(
            max_batch,
            [run = std::move(run)](absl::Span<void* const> batch) {
              std::vector<Job*> jobs;
              jobs.reserve(batch.size());
              for (void* job : batch) jobs.push_back(static_cast<Job*>(job));
              run(jobs);
            },
            at_once) {}

  // Waits for the jobs still queued. REQUIRES: no Run call begins any more.
  ~Batcher() = default;

  // From now on, say because a device was lost. More than at first is no use:
  // there are no threads for it.
  void SetAtOnce(AtOnce at_once) { queue_.SetAtOnce(at_once); }

  // Queues the jobs and blocks until each has been run or dropped. Borrows
  // the jobs and the caller until it returns.
  //
  // DeadlineExceeded, Cancelled: the caller left and at least one job was
  // dropped. ResourceExhausted, Internal: `run` threw. The jobs' answers must
  // not be used then.
  absl::Status Run(absl::Span<Job* const> jobs, const base::Caller& caller) {
    return queue_.Run(std::vector<void*>(jobs.begin(), jobs.end()), caller);
  }

  // Jobs queued and not yet running.
  int queued() { return queue_.queued(); }

 private:
  BatchQueue queue_;
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_BATCHER_H_
