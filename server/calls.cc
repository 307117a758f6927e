#include "server/calls.h"

#include <grpc/support/time.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "base/error_info.h"
#include "base/monotonic.h"
#include "base/no_throw.h"
#include "server/grpc_status.h"
#include "server/log.h"
#include "server/request_tag.h"
#include "zeroshot/admission.h"

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

absl::string_view Metadata(const grpc::ServerContext& context,
                           const char* name) {
  const auto it = context.client_metadata().find(name);
  if (it == context.client_metadata().end()) return "";
  return {it->second.data(), it->second.size()};
}

// 32 hexadecimal digits that nobody can guess.
std::string NewKey() {
  unsigned char bytes[16];
  // It fails where the system has no randomness: then nobody has the key.
  if (RAND_bytes(bytes, sizeof(bytes)) != 1) return "";
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes), sizeof(bytes)));
}

}  // namespace

Calls::Calls(Tokens* tokens, Metrics* metrics, Tracer* tracer,
             absl::Duration client_patience)
    : tokens_(tokens),
      metrics_(metrics),
      tracer_(tracer),
      inside_key_(NewKey()),
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
    return tokens_->Check(Metadata(context, "authorization"), needed);
  }
  if (IsInside(context)) {
    return std::string(Metadata(context, kInsideCertificate));
  }
  const auto names = context.auth_context()->GetPeerIdentity();
  if (names.empty()) return "";
  return absl::CHexEscape(absl::string_view(names[0].data(), names[0].size()));
}

bool Calls::IsInside(const grpc::ServerContext& context) const {
  const absl::string_view key = Metadata(context, kInsideKey);
  return !inside_key_.empty() && key.size() == inside_key_.size() &&
         CRYPTO_memcmp(key.data(), inside_key_.data(), key.size()) == 0;
}

std::string Calls::PeerOf(const grpc::ServerContext& context) const {
  if (!IsInside(context)) return context.peer();
  return std::string(Metadata(context, kInsidePeer));
}

absl::Status Calls::Allows(const Call& call, Permission needed) {
  return Identify(call.context, needed).status();
}

grpc::Status Calls::Answer(const Method& method, grpc::ServerContext* context,
                           Handler handler) {
  const absl::Time start = base::MonotonicNow();
  return Conclude(method, context, start, [&](base::Steps* steps) {
    return Run(context, start, steps, handler);
  });
}

grpc::Status Calls::AnswerAlways(const Method& method,
                                 grpc::ServerContext* context,
                                 absl::FunctionRef<absl::Status()> handler) {
  return Conclude(method, context, base::MonotonicNow(), [&](base::Steps*) {
    return base::NoThrow("this call", handler);
  });
}

grpc::Status Calls::Conclude(
    const Method& method, grpc::ServerContext* context, absl::Time start,
    absl::FunctionRef<absl::Status(base::Steps*)> handler) {
  const RequestTag tag = TagOf(context->client_metadata());
  // After the answer: a client's gRPC tries a call again only if no metadata
  // came before the status.
  context->AddTrailingMetadata("x-request-id", tag.id);
  const std::unique_ptr<CallSpan> span =
      tracer_ == nullptr ? nullptr : tracer_->Begin(method.path, tag, start);
  const absl::StatusOr<std::string> caller = Identify(*context, method.needed);
  const absl::Status status =
      caller.ok() ? handler(span == nullptr ? nullptr : span->steps())
                  : caller.status();
  const absl::Duration took = base::MonotonicNow() - start;
  metrics_->CallEnded(method.name(), status, took);
  LogCall({method.name(), PeerOf(*context), tag.id,
           span == nullptr ? tag.trace() : span->ids(),
           caller.ok() ? *caller : "", status, took});
  if (span != nullptr) span->End(status);
  stalled_.WaitUntilSent(context);
  AddRetryPushback(status, context);
  return ToGrpcStatus(status);
}

absl::Status Calls::Run(grpc::ServerContext* context, absl::Time start,
                        base::Steps* steps, Handler handler) {
  const absl::StatusOr<Engine*> engine = Enter();
  if (!engine.ok()) return engine.status();
  const absl::Cleanup leave = [this] { Leave(); };
  return base::NoThrow("this call", [&] {
    base::Caller caller = CallerOf(*context);
    caller.steps = steps;
    return handler({**engine, std::move(caller), start, *context});
  });
}

}  // namespace zeroshot::server
