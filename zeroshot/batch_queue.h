// The queue and the threads behind zeroshot/batcher.h, which knows the type of
// a job and documents the guarantees.
#ifndef ZEROSHOT_ZEROSHOT_BATCH_QUEUE_H_
#define ZEROSHOT_ZEROSHOT_BATCH_QUEUE_H_

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/caller.h"
#include "base/mutex.h"

namespace zeroshot {

// How many batches run at once: as many as there are devices whatever their
// size, further ones only if they are large.
//
// A GPU wants a second batch while it computes the first, so that crops cross
// the bus meanwhile; but a small batch taken then would wait behind the first
// without growing, and leave the next one small as well: callers who come back
// together would be split into smaller and smaller parts. A batch that is large
// enough for the device's full speed loses nothing by not growing.
struct BatchPolicy {
  int max_batches = 1;     // of any size; 0 is taken as 1
  int max_with_large = 1;  // batches of any size and large ones together
  size_t large = 1'000;    // jobs that make a batch large; at most max_batch

  bool operator==(const BatchPolicy&) const = default;
};

// Thread rule: Run and SetPolicy may be called from many threads at once; `run`
// is called by threads of its own, by each for one batch at a time.
class BatchQueue {
 public:
  using RunBatch = std::function<void(absl::Span<void* const>)>;

  BatchQueue(size_t max_batch, RunBatch run, BatchPolicy policy);
  ~BatchQueue();  // as Batcher's

  void SetPolicy(BatchPolicy policy);
  absl::Status Run(absl::Span<void* const> jobs, const base::Caller& caller);
  int queued();

 private:
  // Why jobs were dropped.
  enum class Dropped { kDeadlinePassed, kCallerGone };

  // The jobs of one Run call; on that call's stack, guarded by mu_.
  struct Group {
    Group(const base::Caller* c, size_t n) : caller(c), pending(n) {}
    const base::Caller* const caller;
    size_t pending;
    std::optional<Dropped> dropped;
    absl::Status status;  // of a run that threw
    base::CondVar finished;
  };
  struct Queued {
    void* job;
    Group* group;
    int64_t turn;  // the queue is in the order of turns, then of arrival
  };
  // Jobs move from list to list, so that nothing is allocated on a batch thread
  // or while the lock is held: an allocation that fails would end the process,
  // or leave a queue that names a Group which is gone.
  using Jobs = std::list<Queued>;

  // The group may be gone as soon as mu_ is free: notify while holding it.
  void Finish(Group* group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // All of `jobs`, unrun.
  void Drop(const Jobs& jobs, Dropped why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Moves the group's queued jobs to `jobs`.
  void Withdraw(const Group* group, Jobs* jobs)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether a batch may be taken now.
  bool MayTake() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Moves jobs from the queue to `batch` until it is full, and drops those
  // whose deadline has passed.
  void Fill(Jobs* batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Blocks until there is a batch to run, which then counts as running. Empty:
  // the end.
  Jobs WaitForBatch();
  // The next batch of jobs that are still wanted; empty if none is.
  Jobs TakeBatch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Loop(std::vector<void*> jobs);

  const size_t max_batch_;
  const RunBatch run_;
  base::Mutex mu_;
  base::CondVar arrived_;
  BatchPolicy policy_ ABSL_GUARDED_BY(mu_);
  int running_ ABSL_GUARDED_BY(mu_) = 0;    // batches
  int64_t taken_ ABSL_GUARDED_BY(mu_) = 0;  // batches so far
  Jobs queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;  // last: they use the others
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_BATCH_QUEUE_H_
