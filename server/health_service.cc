#include "server/health_service.h"

#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/caller.h"
#include "server/grpc_status.h"

namespace zeroshot::server {
namespace {

using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::internal::CallbackBidiHandler;
using grpc::internal::RpcMethod;
using grpc::internal::RpcServiceMethod;

constexpr absl::string_view kService = "zeroshot.v1.ZeroShot";

// A request has a name in it and nothing else.
constexpr size_t kMaxRequestBytes = 1'024;

// HealthCheckResponse { status }.
enum Health : char { kUntold = 0, kServing = 1, kNotServing = 2, kUnknown = 3 };

ByteBuffer Response(Health health) {
  const char bytes[] = {0x08, health};
  const grpc::Slice slice(bytes, sizeof(bytes));
  return {&slice, 1};
}

// Whether HealthCheckRequest { service } names what we serve.
bool IsOurs(const ByteBuffer& request) {
  grpc::Slice slice;
  if (request.Length() == 0) return true;
  if (request.Length() > kMaxRequestBytes ||
      !request.DumpToSingleSlice(&slice).ok()) {
    return false;
  }
  const absl::string_view bytes(reinterpret_cast<const char*>(slice.begin()),
                                slice.size());
  constexpr absl::string_view kEmpty("\x0a\x00", 2);
  static const std::string* const kNamed = new std::string(absl::StrCat(
      "\x0a", std::string(1, static_cast<char>(kService.size())), kService));
  return bytes == kEmpty || bytes == *kNamed;
}

}  // namespace

// One call of Check or Watch. To gRPC it is a stream in both directions, which
// is handed over before its request has arrived.
class HealthService::Call final
    : public grpc::ServerBidiReactor<ByteBuffer, ByteBuffer> {
 public:
  Call(HealthService* service, std::string peer, bool watch)
      : service_(service), peer_(std::move(peer)), watch_(watch) {
    entered_ = service_->Enter(peer_);
    if (!entered_) {
      End({grpc::StatusCode::RESOURCE_EXHAUSTED,
           absl::StrCat("too many health calls at once: at most ",
                        kMaxCallsOfOne, " of one connection and ", kMaxCalls,
                        " of all are allowed")});
    } else if (service_->BeginRead()) {
      StartRead(&request_);
    } else {
      Answer();
    }
  }

  void OnReadDone(bool ok) override {
    service_->EndRead();
    if (!ok) {
      return End({grpc::StatusCode::INVALID_ARGUMENT, "there is no request"});
    }
    ours_ = IsOurs(request_);
    request_.Clear();
    Answer();
  }

  // REQUIRES: Watch.
  void Tell(bool serving) {
    base::MutexLock lock(&mu_);
    next_ = !ours_ ? kUnknown : serving ? kServing : kNotServing;
    if (!writing_) Write();
  }

  void OnWriteDone(bool ok) override {
    {
      base::MutexLock lock(&mu_);
      writing_ = false;
      if (ok) Write();
    }
    if (!ok) End(ToGrpcStatus(base::CallerGone()));
  }

  void OnCancel() override { End(ToGrpcStatus(base::CallerGone())); }

  void OnDone() override {
    if (entered_) service_->Leave(this, peer_);
    delete this;
  }

 private:
  void Answer() {
    if (watch_) return service_->Watch(this);
    if (!ours_) {
      return End({grpc::StatusCode::NOT_FOUND,
                  absl::StrCat("the service is not known here; it must be \"\" "
                               "or ",
                               kService)});
    }
    const Health health = service_->serving() ? kServing : kNotServing;
    base::MutexLock lock(&mu_);
    if (std::exchange(ended_, true)) return;
    message_ = Response(health);
    StartWriteAndFinish(&message_, {}, grpc::Status::OK);
  }

  // What was not told yet, if anything.
  void Write() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (ended_ || next_ == told_) return;
    writing_ = true;
    told_ = next_;
    message_ = Response(told_);
    StartWrite(&message_);
  }

  void End(const grpc::Status& status) {
    base::MutexLock lock(&mu_);
    if (!std::exchange(ended_, true)) Finish(status);
  }

  HealthService* const service_;
  const std::string peer_;
  const bool watch_;
  bool entered_ = false;
  bool ours_ = true;  // what is asked for
  ByteBuffer request_;
  base::Mutex mu_;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  Health told_ ABSL_GUARDED_BY(mu_) = kUntold;
  Health next_ ABSL_GUARDED_BY(mu_) = kUntold;
  ByteBuffer message_ ABSL_GUARDED_BY(mu_);
};

HealthService::HealthService() {
  constexpr const char* kPaths[] = {"/grpc.health.v1.Health/Check",
                                    "/grpc.health.v1.Health/Watch"};
  for (const bool watch : {false, true}) {
    AddMethod(new RpcServiceMethod(kPaths[watch], RpcMethod::BIDI_STREAMING,
                                   nullptr));
    MarkMethodCallback(watch,
                       new CallbackBidiHandler<ByteBuffer, ByteBuffer>(
                           [this, watch](CallbackServerContext* context) {
                             return new Call(this, context->peer(), watch);
                           }));
  }
}

HealthService::~HealthService() = default;

bool HealthService::Enter(const std::string& peer) {
  base::MutexLock lock(&mu_);
  if (calls_ >= kMaxCalls) return false;
  const auto of_one = calls_of_.find(peer);
  if (of_one != calls_of_.end() && of_one->second >= kMaxCallsOfOne) {
    return false;
  }
  ++calls_;
  ++calls_of_[peer];
  return true;
}

void HealthService::Leave(Call* call, const std::string& peer) {
  base::MutexLock lock(&mu_);
  watches_.erase(call);
  --calls_;
  const auto of_one = calls_of_.find(peer);
  if (--of_one->second == 0) calls_of_.erase(of_one);
}

bool HealthService::BeginRead() {
  base::MutexLock lock(&mu_);
  if (reads_ >= kMaxReads) return false;
  ++reads_;
  return true;
}

void HealthService::EndRead() {
  base::MutexLock lock(&mu_);
  --reads_;
}

bool HealthService::serving() {
  base::MutexLock lock(&mu_);
  return serving_;
}

void HealthService::Watch(Call* call) {
  base::MutexLock lock(&mu_);
  watches_.insert(call);
  call->Tell(serving_);
}

void HealthService::Set(bool serving) {
  base::MutexLock lock(&mu_);
  if (serving_ == serving) return;
  serving_ = serving;
  for (Call* const watch : watches_) watch->Tell(serving);
}

}  // namespace zeroshot::server
