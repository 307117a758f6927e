#include "server/stalled_calls.h"

#include <grpc/grpc.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "base/monotonic.h"
#include "server/after_answer.h"

namespace zeroshot::server {
namespace {

absl::Status TooSlow(absl::Status (*error)(absl::string_view),
                     const std::string& message) {
  return base::WithReason(error(message), base::kClientTooSlow);
}

// Between two looks at those that wait.
constexpr absl::Duration kLookInterval = absl::Milliseconds(500);

}  // namespace

StalledCalls::StalledCalls(const Options& options,
                           std::function<void()> on_ended)
    : options_(options),
      on_ended_(std::move(on_ended)),
      thread_([this] { Loop(); }) {}

StalledCalls::~StalledCalls() {
  {
    base::MutexLock lock(&mu_);
    stopped_ = true;
  }
  stopping_.NotifyAll();
  thread_.join();
}

StalledCalls::Wait::Wait(StalledCalls* calls, grpc::ServerContext* context,
                         Holds holds)
    : calls_(calls) {
  base::MutexLock lock(&calls_->mu_);
  place_ = calls_->waiting_.insert(calls_->waiting_.end(),
                                   {context, base::MonotonicNow(), holds,
                                    /*ending=*/false, absl::OkStatus()});
}

StalledCalls::Wait::~Wait() {
  base::MutexLock lock(&calls_->mu_);
  while (place_->ending) calls_->ended_.Wait(&calls_->mu_);
  calls_->waiting_.erase(place_);
}

absl::Status StalledCalls::Wait::ended() const {
  base::MutexLock lock(&calls_->mu_);
  return place_->ended;
}

void StalledCalls::WaitUntilSent(grpc::ServerContext* context) {
  KeepUntilSent(std::make_shared<Wait>(this, context));
}

void StalledCalls::Loop() {
  while (true) {
    std::vector<Place> stalled;
    {
      base::MutexLock lock(&mu_);
      if (stopped_) return;
      stalled = FindStalled();
      if (stalled.empty()) {
        stopping_.WaitUntil(&mu_, base::MonotonicNow() + kLookInterval);
      }
    }
    End(stalled);
  }
}

std::vector<StalledCalls::Place> StalledCalls::FindStalled() {
  const absl::Time now = base::MonotonicNow();
  const auto of_crowd = [&](const Waiting& call) {
    return call.ended.ok() && call.holds == Holds::kThread &&
           now - call.since > options_.crowd_patience;
  };
  int surplus = -options_.crowd;
  for (const Waiting& call : waiting_) surplus += of_crowd(call) ? 1 : 0;
  std::vector<Place> stalled;
  for (Place call = waiting_.begin(); call != waiting_.end(); ++call) {
    const absl::Duration waited = now - call->since;
    if (!call->ended.ok()) continue;
    const std::string time =
        absl::FormatDuration(absl::Trunc(waited, absl::Milliseconds(100)));
    const bool crowding = of_crowd(*call) && surplus > 0;
    if (waited > options_.patience) {
      call->ended = TooSlow(
          absl::DeadlineExceededError,
          absl::StrCat("the server waited ", time,
                       " for the client to take its answer or to send more of "
                       "its request, ",
                       "at most ", absl::FormatDuration(options_.patience),
                       " are allowed (--client_patience)"));
    } else if (crowding) {
      call->ended = TooSlow(absl::ResourceExhaustedError,
                            absl::StrCat("more than ", options_.crowd,
                                         " calls wait for clients that take no "
                                         "answer; this one had waited "
                                         "longest, ",
                                         time));
    } else {
      continue;
    }
    if (crowding) --surplus;
    call->ending = true;
    stalled.push_back(call);
  }
  return stalled;
}

void StalledCalls::End(const std::vector<Place>& stalled) {
  if (stalled.empty()) return;
  // Nobody else touches a call that is ending, and it stays until it is ended.
  for (const Place call : stalled) {
    grpc_call_cancel_with_status(
        call->context->c_call(),
        static_cast<grpc_status_code>(call->ended.raw_code()),
        std::string(call->ended.message()).c_str(), nullptr);
    on_ended_();
  }
  base::MutexLock lock(&mu_);
  for (const Place call : stalled) call->ending = false;
  ended_.NotifyAll();
}

}  // namespace zeroshot::server
