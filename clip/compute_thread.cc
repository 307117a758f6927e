#include "clip/compute_thread.h"

namespace clip {

ComputeThread::~ComputeThread() {
  {
    base::MutexLock lock(&mu_);
    stop_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void ComputeThread::Run(const std::function<void()>& work) {
  base::MutexLock lock(&mu_);
  while (work_ != nullptr) changed_.Wait(&mu_);
  work_ = &work;
  changed_.NotifyAll();
  while (!done_) changed_.Wait(&mu_);
  work_ = nullptr;
  done_ = false;
  changed_.NotifyAll();
}

void ComputeThread::Work() {
  while (const std::function<void()>* work = Next()) {
    (*work)();
    base::MutexLock lock(&mu_);
    done_ = true;
    changed_.NotifyAll();
  }
}

const std::function<void()>* ComputeThread::Next() {
  base::MutexLock lock(&mu_);
  while (!stop_ && (work_ == nullptr || done_)) changed_.Wait(&mu_);
  return stop_ ? nullptr : work_;
}

}  // namespace clip
