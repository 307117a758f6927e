#include "client/call_options.h"

namespace zeroshot::client {

void Cancellation::Cancel() {
  std::lock_guard<std::mutex> lock(mu_);
  if (cancelled_.exchange(true)) return;
  for (const std::function<void()>& on_cancel : watches_) on_cancel();
  changed_.notify_all();
}

bool Cancellation::SleepFor(absl::Duration duration) {
  std::unique_lock<std::mutex> lock(mu_);
  return !changed_.wait_for(lock, absl::ToChronoNanoseconds(duration),
                            [this] { return cancelled(); });
}

Cancellation::Watch::Watch(Cancellation* cancellation,
                           std::function<void()> on_cancel)
    : cancellation_(cancellation) {
  if (cancellation_ == nullptr) return;
  std::lock_guard<std::mutex> lock(cancellation_->mu_);
  if (cancellation_->cancelled()) on_cancel();
  place_ = cancellation_->watches_.insert(cancellation_->watches_.end(),
                                          std::move(on_cancel));
}

Cancellation::Watch::~Watch() {
  if (cancellation_ == nullptr) return;
  std::lock_guard<std::mutex> lock(cancellation_->mu_);
  cancellation_->watches_.erase(place_);
}

}  // namespace zeroshot::client
