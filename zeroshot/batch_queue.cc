#include "zeroshot/batch_queue.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"

namespace zeroshot {

BatchQueue::BatchQueue(size_t max_batch, RunBatch run, AtOnce at_once)
    : max_batch_(max_batch), run_(std::move(run)), at_once_(at_once) {
  const int threads = std::max({1, at_once.of_any_size, at_once.of_enough});
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Loop(); });
  }
}

BatchQueue::~BatchQueue() {
  {
    clip::MutexLock lock(&mu_);
    stopping_ = true;
    arrived_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

void BatchQueue::SetAtOnce(AtOnce at_once) {
  clip::MutexLock lock(&mu_);
  if (at_once == at_once_) return;
  at_once_ = at_once;
  arrived_.NotifyAll();
}

absl::Status BatchQueue::Run(absl::Span<void* const> jobs,
                             const Caller& caller) {
  Group group(&caller, jobs.size());
  clip::MutexLock lock(&mu_);
  for (void* job : jobs) queue_.push_back({job, &group});
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

int BatchQueue::queued() {
  clip::MutexLock lock(&mu_);
  return static_cast<int>(queue_.size());
}

void BatchQueue::Finish(Group* group) {
  if (--group->pending == 0) group->finished.NotifyOne();
}

void BatchQueue::DropQueued(Group* group) {
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

bool BatchQueue::MayTake() const {
  if (queue_.empty()) return false;
  return running_ < std::max(1, at_once_.of_any_size) ||
         (running_ < at_once_.of_enough &&
          queue_.size() >= std::min(at_once_.enough, max_batch_));
}

std::vector<BatchQueue::Queued> BatchQueue::TakeBatch() {
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

std::vector<BatchQueue::Queued> BatchQueue::WaitForBatch() {
  clip::MutexLock lock(&mu_);
  while (true) {
    while (!MayTake() && !(stopping_ && queue_.empty())) arrived_.Wait(&mu_);
    if (queue_.empty()) return {};
    std::vector<Queued> batch = TakeBatch();
    if (batch.empty()) continue;
    ++running_;
    // One call may have brought more than one batch.
    if (MayTake()) arrived_.NotifyOne();
    return batch;
  }
}

void BatchQueue::Loop() {
  std::vector<void*> jobs;
  while (true) {
    const std::vector<Queued> batch = WaitForBatch();
    if (batch.empty()) return;
    jobs.clear();
    for (const Queued& item : batch) jobs.push_back(item.job);
    run_(jobs);
    clip::MutexLock lock(&mu_);
    --running_;
    for (const Queued& item : batch) Finish(item.group);
    // What may be taken now this thread takes. When the batcher goes, the
    // others wait for an empty queue.
    if (stopping_) arrived_.NotifyAll();
  }
}

}  // namespace zeroshot
