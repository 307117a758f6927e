#include "server/stalled_calls.h"

#include <grpcpp/server.h>

#include <optional>
#include <utility>

#include "clip/monotonic.h"

namespace zeroshot::server {
namespace {

// Between two looks at those that wait.
constexpr absl::Duration kLookInterval = absl::Milliseconds(500);

// The call whose answer this thread sends.
thread_local std::optional<StalledCalls::Wait> answer_leaves;

// gRPC calls it on the request's thread when the answer has left.
class AfterAnswers : public grpc::Server::GlobalCallbacks {
 public:
  void PreSynchronousRequest(grpc::ServerContext*) override {}
  void PostSynchronousRequest(grpc::ServerContext*) override {
    answer_leaves.reset();
  }
};

// There is one for the process, and it must be there before the first server.
const bool kInstalled = [] {
  grpc::Server::SetGlobalCallbacks(new AfterAnswers);
  return true;
}();

}  // namespace

StalledCalls::StalledCalls(const Options& options,
                           std::function<void()> on_ended)
    : options_(options),
      on_ended_(std::move(on_ended)),
      thread_([this] { Loop(); }) {}

StalledCalls::~StalledCalls() {
  {
    clip::MutexLock lock(&mu_);
    stopped_ = true;
  }
  stopping_.NotifyAll();
  thread_.join();
}

StalledCalls::Wait::Wait(StalledCalls* calls, grpc::ServerContext* context)
    : calls_(calls) {
  clip::MutexLock lock(&calls_->mu_);
  place_ = calls_->waiting_.insert(calls_->waiting_.end(),
                                   {context, clip::MonotonicNow()});
}

StalledCalls::Wait::~Wait() {
  clip::MutexLock lock(&calls_->mu_);
  calls_->waiting_.erase(place_);
}

void StalledCalls::WaitUntilSent(grpc::ServerContext* context) {
  answer_leaves.emplace(this, context);
}

void StalledCalls::Loop() {
  clip::MutexLock lock(&mu_);
  while (!stopped_) {
    EndStalled();
    stopping_.WaitUntil(&mu_, clip::MonotonicNow() + kLookInterval);
  }
}

void StalledCalls::EndStalled() {
  const bool crowded = static_cast<int>(waiting_.size()) > options_.crowd;
  const absl::Time latest =
      clip::MonotonicNow() -
      (crowded ? options_.patience_with_crowd : options_.patience);
  for (Waiting& call : waiting_) {
    if (call.since > latest) break;
    if (call.ended) continue;
    call.ended = true;
    // Its Wait cannot end meanwhile: the context is there.
    call.context->TryCancel();
    on_ended_();
  }
}

}  // namespace zeroshot::server
