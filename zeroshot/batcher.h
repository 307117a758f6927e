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
// Guarantees:
// - Jobs start in the order of their arrival. If a call has more than half a
//   batch of jobs, each further half counts as if it had arrived a batch later,
//   so that a call with one job does not wait for all of a large call.
// - A job with n jobs queued ahead of it is in batch n / max_batch + 1 from now
//   at the latest. That batch starts at the latest when fewer than
//   BatchPolicy::max_batches of the batches ahead of it, those running now
//   included, have not ended. (With one device and BatchPolicy{1, 1}: within
//   n / max_batch + 1 runs.)
// - Jobs whose caller no longer waits are dropped unrun.
template <typename Job>
class Batcher {
 public:
  // `run` gets 1 to max_batch jobs and writes each job's answer into it.
  using RunBatch = std::function<void(absl::Span<Job* const>)>;

  // Has as many threads as batches may run at once.
  Batcher(size_t max_batch, RunBatch run, BatchPolicy policy = {})
      : queue_(
            max_batch,
            [run = std::move(run)](absl::Span<void* const> batch) {
              std::vector<Job*> jobs;
              jobs.reserve(batch.size());
              for (void* job : batch) jobs.push_back(static_cast<Job*>(job));
              run(jobs);
            },
            policy) {}

  // Waits for the jobs still queued. REQUIRES: no Run call begins any more.
  ~Batcher() = default;

  // Applies from now on, for example because a device was lost. A policy with
  // more batches than the first one has no effect: there are no threads for it.
  void SetPolicy(BatchPolicy policy) { queue_.SetPolicy(policy); }

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
