#include "server/calls.h"

#include <grpc/support/time.h>

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "base/error_info.h"
#include "base/monotonic.h"
#include "base/no_throw.h"
#include "server/grpc_status.h"
#include "server/log.h"
#include "server/request_tag.h"
#include "zeroshot/door.h"

namespace zeroshot::server {
namespace {

// The bounds of how long a client is asked to wait while the model is loaded.
constexpr absl::Duration kShortestLoad = absl::Seconds(1);
constexpr absl::Duration kLongestPause = absl::Seconds(15);

base::Caller CallerOf(const grpc::ServerContext& context) {
  base::Caller caller;
  // On gRPC's even clock: ServerContext::deadline() says it in the system's
  // time, and absl::Now() takes a while to notice that this was set.
  const gpr_timespec deadline = context.raw_deadline();
  if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) != 0) {
    const gpr_timespec left =
        gpr_time_sub(gpr_convert_clock_type(deadline, GPR_CLOCK_MONOTONIC),
                     gpr_now(GPR_CLOCK_MONOTONIC));
    caller.deadline = base::MonotonicNow() + absl::Seconds(left.tv_sec) +
                      absl::Nanoseconds(left.tv_nsec);
  }
  caller.gone = [&context] { return context.IsCancelled(); };
  return caller;
}

}  // namespace

Calls::Calls(Tokens* tokens, Metrics* metrics, absl::Duration client_patience)
    : tokens_(tokens),
      metrics_(metrics),
      stalled_({.patience = client_patience},
               [metrics] { metrics->CallStalled(); }) {}

void Calls::Open(Engine* engine) {
  base::MutexLock lock(&mu_);
  engine_ = engine;
}

void Calls::Close() {
  base::MutexLock lock(&mu_);
  closed_ = true;
}

int Calls::WaitUntilIdle(absl::Time deadline) {
  base::MutexLock lock(&mu_);
  while (inside_ > 0) {
    if (!idle_.WaitUntil(&mu_, deadline)) break;
  }
  return inside_;
}

absl::StatusOr<Engine*> Calls::OpenEngine() {
  if (closed_) {
    return base::WithReason(absl::UnavailableError("the server is stopping"),
                            base::kStopping, {{"cause", "stopping"}});
  }
  if (engine_ == nullptr) {
    absl::Status loading =
        absl::UnavailableError("the server is still loading its model");
    // What has taken long will: a gRPC client tries five times at most.
    SetRetryDelay(loading, std::clamp(base::MonotonicNow() - created_,
                                      kShortestLoad, kLongestPause));
    return base::WithReason(loading, base::kLoading, {{"cause", "loading"}});
  }
  return engine_;
}

absl::Status Calls::Ready() {
  base::MutexLock lock(&mu_);
  return OpenEngine().status();
}

Engine* Calls::engine() {
  base::MutexLock lock(&mu_);
  return engine_;
}

absl::StatusOr<Engine*> Calls::Enter() {
  base::MutexLock lock(&mu_);
  absl::StatusOr<Engine*> engine = OpenEngine();
  if (engine.ok()) ++inside_;
  return engine;
}

void Calls::Leave() {
  base::MutexLock lock(&mu_);
  if (--inside_ == 0) idle_.NotifyAll();
}

absl::StatusOr<std::string> Calls::Identify(const grpc::ServerContext& context,
                                            Permission needed) {
  if (tokens_ != nullptr) {
    const auto it = context.client_metadata().find("authorization");
    return tokens_->Check(
        it == context.client_metadata().end()
            ? absl::string_view()
            : absl::string_view(it->second.data(), it->second.size()),
        needed);
  }
  const auto names = context.auth_context()->GetPeerIdentity();
  if (names.empty()) return "";
  return absl::CHexEscape(absl::string_view(names[0].data(), names[0].size()));
}

grpc::Status Calls::Answer(const Method& method, grpc::ServerContext* context,
                           Handler handler) {
  const absl::Time start = base::MonotonicNow();
  const RequestTag tag = TagOf(context->client_metadata());
  // After the answer: a client's gRPC tries a call again only if no metadata
  // came before the status.
  context->AddTrailingMetadata("x-request-id", tag.id);
  const absl::StatusOr<std::string> caller = Identify(*context, method.needed);
  const absl::Status status =
      caller.ok() ? Run(context, start, handler) : caller.status();
  const absl::Duration took = base::MonotonicNow() - start;
  metrics_->CallEnded(method.name(), status, took);
  LogCall({method.name(), context->peer(), tag, caller.ok() ? *caller : "",
           status, took});
  stalled_.WaitUntilSent(context);
  AddRetryPushback(status, context);
  return ToGrpcStatus(status);
}

absl::Status Calls::Run(grpc::ServerContext* context, absl::Time start,
                        Handler handler) {
  const absl::StatusOr<Engine*> engine = Enter();
  if (!engine.ok()) return engine.status();
  const absl::Cleanup leave = [this] { Leave(); };
  return base::NoThrow("this call", [&] {
    return handler({**engine, CallerOf(*context), start, *context});
  });
}

}  // namespace zeroshot::server
