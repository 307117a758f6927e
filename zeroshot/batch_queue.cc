#include "zeroshot/batch_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/time/time.h"
#include "base/no_throw.h"

namespace zeroshot {

BatchQueue::BatchQueue(size_t max_batch, RunBatch run, BatchPolicy policy)
    : max_batch_(max_batch), run_(std::move(run)), policy_(policy) {
  const int threads = std::max({1, policy.max_batches, policy.max_with_large});
  for (int i = 0; i < threads; ++i) {
    std::vector<void*> jobs;
    jobs.reserve(max_batch_);
    threads_.emplace_back(
        [this, jobs = std::move(jobs)]() mutable { Loop(std::move(jobs)); });
  }
}

BatchQueue::~BatchQueue() {
  {
    base::MutexLock lock(&mu_);
    stopping_ = true;
    arrived_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

void BatchQueue::SetPolicy(BatchPolicy policy) {
  base::MutexLock lock(&mu_);
  if (policy == policy_) return;
  policy_ = policy;
  arrived_.NotifyAll();
}

absl::Status BatchQueue::Run(absl::Span<void* const> jobs,
                             const base::Caller& caller) {
  Group group(&caller, jobs.size());
  Jobs arriving, withdrawn;
  for (void* job : jobs) arriving.push_back({job, &group, 0});
  {
    base::MutexLock lock(&mu_);
    const size_t half = std::max<size_t>(1, max_batch_ / 2);
    size_t place = 0;
    for (Queued& item : arriving) {
      item.turn = taken_ + static_cast<int64_t>(place++ / half);
    }
    // Of equal turns those that were there come first. From the back: but for
    // large calls' later halves there is nothing with a later turn.
    auto behind = queue_.end();
    while (!arriving.empty()) {
      const auto last = std::prev(arriving.end());
      while (behind != queue_.begin() && std::prev(behind)->turn > last->turn) {
        --behind;
      }
      queue_.splice(behind, arriving, last);
      behind = last;
    }
    arrived_.NotifyOne();
    while (group.pending > 0) {
      if (caller.deadline == absl::InfiniteFuture()) {
        group.finished.Wait(&mu_);
      } else if (!group.finished.WaitUntil(&mu_, caller.deadline)) {
        Withdraw(&group, &withdrawn);
        Drop(withdrawn, Dropped::kDeadlinePassed);
        // What is running now cannot be taken back: wait for it.
        while (group.pending > 0) group.finished.Wait(&mu_);
      }
    }
  }
  if (!group.dropped.has_value()) return group.status;
  return *group.dropped == Dropped::kDeadlinePassed ? base::DeadlinePassed()
                                                    : base::CallerGone();
}

int BatchQueue::queued() {
  base::MutexLock lock(&mu_);
  return static_cast<int>(queue_.size());
}

void BatchQueue::Finish(Group* group) {
  if (--group->pending == 0) group->finished.NotifyOne();
}

void BatchQueue::Drop(const Jobs& jobs, Dropped why) {
  for (const Queued& item : jobs) {
    item.group->dropped = why;
    Finish(item.group);
  }
}

void BatchQueue::Withdraw(const Group* group, Jobs* jobs) {
  for (auto it = queue_.begin(); it != queue_.end();) {
    const auto next = std::next(it);
    if (it->group == group) jobs->splice(jobs->end(), queue_, it);
    it = next;
  }
}

bool BatchQueue::MayTake() const {
  if (queue_.empty()) return false;
  return running_ < std::max(1, policy_.max_batches) ||
         (running_ < policy_.max_with_large &&
          queue_.size() >= std::min(policy_.large, max_batch_));
}

void BatchQueue::Fill(Jobs* batch) {
  const absl::Time now = base::MonotonicNow();
  Jobs expired;
  while (!queue_.empty() && batch->size() < max_batch_) {
    const bool wanted = now < queue_.front().group->caller->deadline;
    Jobs& to = wanted ? *batch : expired;
    to.splice(to.end(), queue_, queue_.begin());
  }
  Drop(expired, Dropped::kDeadlinePassed);
}

BatchQueue::Jobs BatchQueue::TakeBatch() {
  Jobs batch;
  while (true) {
    Jobs taken, gone;
    taken.swap(batch);
    const size_t asked = taken.size();  // of these it is known
    Fill(&taken);
    if (taken.size() == asked) return taken;
    // Asking may take the transport's time: not under the lock that every call
    // takes. The group stays until its jobs are finished.
    mu_.Unlock();
    size_t i = 0;
    while (!taken.empty()) {
      const base::Caller& caller = *taken.front().group->caller;
      const bool left = i++ >= asked && caller.gone && caller.gone();
      Jobs& to = left ? gone : batch;
      to.splice(to.end(), taken, taken.begin());
    }
    mu_.Lock();
    Drop(gone, Dropped::kCallerGone);
    if (gone.empty()) return batch;
  }
}

BatchQueue::Jobs BatchQueue::WaitForBatch() {
  base::MutexLock lock(&mu_);
  while (true) {
    while (!MayTake() && !(stopping_ && queue_.empty())) arrived_.Wait(&mu_);
    if (queue_.empty()) return {};
    ++running_;
    ++taken_;
    Jobs batch = TakeBatch();
    if (batch.empty()) --running_;
    // One call may have brought more than one batch, and while callers were
    // asked more may have come.
    if (MayTake()) arrived_.NotifyOne();
    if (!batch.empty()) return batch;
  }
}

void BatchQueue::Loop(std::vector<void*> jobs) {
  while (true) {
    const Jobs batch = WaitForBatch();
    if (batch.empty()) return;
    jobs.clear();
    for (const Queued& item : batch) jobs.push_back(item.job);
    const absl::Status status = base::NoThrow("this batch", [&] {
      run_(jobs);
      return absl::OkStatus();
    });
    base::MutexLock lock(&mu_);
    --running_;
    for (const Queued& item : batch) {
      item.group->status.Update(status);
      Finish(item.group);
    }
    // What may be taken now this thread takes. When the batcher goes, the
    // others wait for an empty queue.
    if (stopping_) arrived_.NotifyAll();
  }
}

}  // namespace zeroshot
