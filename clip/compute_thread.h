// The one thread on which a model's towers compute.
//
// OpenMP keeps a team of threads for every thread that has ever entered a
// parallel region. As soon as all teams together have more threads than the
// machine has cores, waiting ones sleep at once instead of spinning for a
// moment, and a tower, which enters a region every few dozen microseconds,
// waits for the kernel to wake its team each time: a fifth of its time on two
// cores. Calls come from many threads; so they all compute on this one.
//
// Thread rule: Run may be called from any threads, but its own.
#ifndef ZEROSHOT_CLIP_COMPUTE_THREAD_H_
#define ZEROSHOT_CLIP_COMPUTE_THREAD_H_

#include <functional>
#include <thread>

#include "base/mutex.h"

namespace clip {

class ComputeThread {
 public:
  ComputeThread() : thread_([this] { Work(); }) {}
  // REQUIRES: no Run is under way.
  ~ComputeThread();
  ComputeThread(const ComputeThread&) = delete;
  ComputeThread& operator=(const ComputeThread&) = delete;

  // Calls `work` on the thread and returns when it has returned. One at a
  // time; the longest waiter is not preferred (DeviceScheduler sees to order).
  // REQUIRES: `work` does not throw.
  void Run(const std::function<void()>& work);

 private:
  void Work();
  const std::function<void()>* Next();  // null: stop

  base::Mutex mu_;
  base::CondVar changed_;
  const std::function<void()>* work_ ABSL_GUARDED_BY(mu_) = nullptr;
  bool done_ ABSL_GUARDED_BY(mu_) = false;  // work_ is, its caller not yet back
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_COMPUTE_THREAD_H_
