#include "server/calls.h"

#include <chrono>
#include <new>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "clip/monotonic.h"
#include "server/grpc_status.h"
#include "server/log.h"
#include "server/request_tag.h"

namespace zeroshot::server {
namespace {

Caller CallerOf(const grpc::ServerContext& context) {
  Caller caller;
  // gRPC's "no deadline" is the greatest time of its clock.
  if (context.deadline() != std::chrono::system_clock::time_point::max()) {
    // It counts on an even clock too, but says it in the system's time of now.
    caller.deadline = clip::MonotonicNow() +
                      (absl::FromChrono(context.deadline()) - absl::Now());
  }
  caller.gone = [&context] { return context.IsCancelled(); };
  return caller;
}

}  // namespace

void Calls::Open(Engine* engine) {
  clip::MutexLock lock(&mu_);
  engine_ = engine;
}

void Calls::Close() {
  clip::MutexLock lock(&mu_);
  closed_ = true;
}

int Calls::WaitUntilIdle(absl::Time deadline) {
  clip::MutexLock lock(&mu_);
  while (inside_ > 0) {
    if (!idle_.WaitUntil(&mu_, deadline)) break;
  }
  return inside_;
}

absl::StatusOr<Engine*> Calls::OpenEngine() {
  if (closed_) {
    return Because("stopping",
                   absl::UnavailableError("the server is stopping"));
  }
  if (engine_ == nullptr) {
    return Because("loading", absl::UnavailableError(
                                  "the server is still loading its model"));
  }
  return engine_;
}

absl::Status Calls::Ready() {
  clip::MutexLock lock(&mu_);
  return OpenEngine().status();
}

Engine* Calls::engine() {
  clip::MutexLock lock(&mu_);
  return engine_;
}

absl::StatusOr<Engine*> Calls::Enter() {
  clip::MutexLock lock(&mu_);
  absl::StatusOr<Engine*> engine = OpenEngine();
  if (engine.ok()) ++inside_;
  return engine;
}

void Calls::Leave() {
  clip::MutexLock lock(&mu_);
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

grpc::Status Calls::Answer(absl::string_view method, Permission needed,
                           grpc::ServerContext* context, Handler handler) {
  const absl::Time start = clip::MonotonicNow();
  const RequestTag tag = TagOf(context->client_metadata());
  context->AddInitialMetadata("x-request-id", tag.id);
  const absl::StatusOr<std::string> caller = Identify(*context, needed);
  const absl::Status status =
      caller.ok() ? Run(*context, start, handler) : caller.status();
  const absl::Duration took = clip::MonotonicNow() - start;
  metrics_->CallEnded(method, status, took);
  LogCall(
      {method, context->peer(), tag, caller.ok() ? *caller : "", status, took});
  return ToGrpcStatus(status);
}

absl::Status Calls::Run(const grpc::ServerContext& context, absl::Time start,
                        Handler handler) {
  const absl::StatusOr<Engine*> engine = Enter();
  if (!engine.ok()) return engine.status();
  const absl::Cleanup leave = [this] { Leave(); };
  try {
    return handler({**engine, CallerOf(context), start});
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("not enough memory for this call");
  }
}

}  // namespace zeroshot::server
