// Pull batching without a delay knob: a batch is whatever queued while the
// device was busy. An idle device starts at once, a busy one gets full
// batches (LevelDB's writer queue works the same way).
#ifndef ZEROSHOT_ZEROSHOT_BATCHER_H_
#define ZEROSHOT_ZEROSHOT_BATCHER_H_

#include <deque>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "clip/mutex.h"
#include "zeroshot/caller.h"

namespace zeroshot {

// Thread rule: Run may be called from many threads at once; the `run`
// function is called by one thread of the batcher's own, one batch at a time.
//
// Guarantee: jobs run in the order of their arrival; a job with n jobs ahead
// of it starts within n / max_batch + 1 runs. Jobs whose caller no longer
// waits are dropped unrun.
template <typename Job>
class Batcher {
 public:
  // `run` gets 1 to max_batch jobs and writes each job's answer into it.
  using RunBatch = std::function<void(absl::Span<Job* const>)>;

  Batcher(size_t max_batch, RunBatch run)
      : max_batch_(max_batch),
        run_(std::move(run)),
        thread_([this] { Loop(); }) {}

  // Waits for the jobs still queued. REQUIRES: no Run call begins any more.
  ~Batcher() {
    {
      clip::MutexLock lock(&mu_);
      stopping_ = true;
    }
    arrived_.NotifyAll();
    thread_.join();
  }

  // Queues the jobs and blocks until each has been run or dropped. Borrows
  // the jobs and the caller until it returns.
  //
  // DeadlineExceeded, Cancelled: the caller left and at least one job was
  // dropped; the jobs' answers must not be used.
  absl::Status Run(absl::Span<Job* const> jobs, const Caller& caller) {
    Group group(&caller, jobs.size());
    clip::MutexLock lock(&mu_);
    for (Job* job : jobs) queue_.push_back({job, &group});
    arrived_.NotifyOne();
    while (group.pending > 0) {
      if (caller.deadline == absl::InfiniteFuture()) {
        group.finished.Wait(&mu_);
      } else if (!group.finished.WaitUntil(&mu_, caller.deadline)) {
        DropQueued(&group);
        // What is running now cannot be taken back: wait for it.
        while (group.pending > 0) group.finished.Wait(&mu_);
      }
    }
    return group.status;
  }

  // Jobs queued and not yet running.
  int queued() {
    clip::MutexLock lock(&mu_);
    return static_cast<int>(queue_.size());
  }

 private:
  // The jobs of one Run call; on that call's stack, guarded by mu_.
  struct Group {
    Group(const Caller* c, size_t n) : caller(c), pending(n) {}
    const Caller* const caller;
    size_t pending;
    absl::Status status;
    clip::CondVar finished;
  };
  struct Queued {
    Job* job;
    Group* group;
  };

  // The group may be gone as soon as mu_ is free: notify while holding it.
  void Finish(Group* group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (--group->pending == 0) group->finished.NotifyOne();
  }

  void DropQueued(Group* group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    std::deque<Queued> kept;
    for (const Queued& item : queue_) {
      if (item.group != group) {
        kept.push_back(item);
        continue;
      }
      group->status = DeadlinePassed();
      --group->pending;
    }
    queue_.swap(kept);
  }

  // Takes the next batch off the queue, dropping what is no longer wanted.
  std::vector<Queued> TakeBatch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    std::vector<Queued> batch;
    while (!queue_.empty() && batch.size() < max_batch_) {
      const Queued item = queue_.front();
      queue_.pop_front();
      if (absl::Status wanted = item.group->caller->StillWaiting();
          !wanted.ok()) {
        item.group->status = std::move(wanted);
        Finish(item.group);
        continue;
      }
      batch.push_back(item);
    }
    return batch;
  }

  void Loop() {
    std::vector<Job*> jobs;
    while (true) {
      std::vector<Queued> batch;
      {
        clip::MutexLock lock(&mu_);
        while (queue_.empty() && !stopping_) arrived_.Wait(&mu_);
        if (queue_.empty()) return;
        batch = TakeBatch();
      }
      if (batch.empty()) continue;
      jobs.clear();
      for (const Queued& item : batch) jobs.push_back(item.job);
      run_(jobs);
      {
        clip::MutexLock lock(&mu_);
        for (const Queued& item : batch) Finish(item.group);
      }
    }
  }

  const size_t max_batch_;
  const RunBatch run_;
  clip::Mutex mu_;
  clip::CondVar arrived_;
  std::deque<Queued> queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // last: starts when all else stands
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_BATCHER_H_
