#include "server/http/inside_calls.h"

#include <atomic>
#include <utility>

#include "absl/time/clock.h"
#include "server/calls.h"
#include "server/grpc_status.h"

namespace zeroshot::server::http {
namespace {

// What the queue hands back when an operation has ended. ThreadSanitizer does
// not see the order that the queue makes between threads; it sees `begun`.
struct Tag {
  std::function<void(bool ok)> then;
  std::atomic<bool> begun{false};
};

void* NewTag(std::function<void(bool ok)> then) {
  auto* const tag = new Tag{std::move(then)};
  tag->begun.store(true, std::memory_order_release);
  return tag;
}

}  // namespace

InsideCalls::InsideCalls(const std::shared_ptr<grpc::Channel>& channel,
                         std::string key)
    : key_(std::move(key)), stub_(channel), thread_([this] { Loop(); }) {}

InsideCalls::~InsideCalls() {
  queue_.Shutdown();
  thread_.join();
}

void InsideCalls::Loop() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
    const std::unique_ptr<Tag> ended(static_cast<Tag*>(tag));
    (void)ended->begun.load(std::memory_order_acquire);
    ended->then(ok);
  }
}

void InsideCalls::SetUp(const Origin& origin,
                        grpc::ClientContext* context) const {
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) context->AddMetadata(name, value);
  };
  add(kInsideKey, key_);
  add(kInsidePeer, origin.peer);
  add(kInsideCertificate, origin.certificate);
  add("authorization", origin.authorization);
  add("x-request-id", origin.tag.id);
  add("traceparent", origin.tag.traceparent);
  if (origin.timeout < absl::InfiniteDuration()) {
    context->set_deadline(absl::ToChronoTime(absl::Now() + origin.timeout));
  }
}

std::shared_ptr<InsideCalls::Call> InsideCalls::Unary(
    const char* path, const Origin& origin, const grpc::ByteBuffer& request,
    Done done) {
  struct UnaryCall : Call {
    std::unique_ptr<grpc::GenericClientAsyncResponseReader> rpc;
    grpc::ByteBuffer answer;
    grpc::Status status;
  };
  const auto call = std::make_shared<UnaryCall>();
  SetUp(origin, &call->context_);
  call->rpc = stub_.PrepareUnaryCall(&call->context_, path, request, &queue_);
  call->rpc->StartCall();
  call->rpc->Finish(&call->answer, &call->status,
                    NewTag([call, done = std::move(done)](bool) {
                      done(FromGrpcStatus(call->status),
                           std::move(call->answer));
                    }));
  return call;
}

std::shared_ptr<InsideCalls::Stream> InsideCalls::MakeStream(
    const char* path, const Origin& origin) {
  const auto stream = std::make_shared<Stream>();
  SetUp(origin, &stream->context_);
  stream->rpc_ = stub_.PrepareCall(&stream->context_, path, &queue_);
  return stream;
}

void InsideCalls::Stream::Begin(Then then) {
  rpc_->StartCall(NewTag([self = shared_from_this(),
                          then = std::move(then)](bool ok) { then(ok); }));
}

void InsideCalls::Stream::Write(const grpc::ByteBuffer& message, Then then) {
  rpc_->Write(message, NewTag([self = shared_from_this(),
                               then = std::move(then)](bool ok) { then(ok); }));
}

void InsideCalls::Stream::WritesDone(Then then) {
  rpc_->WritesDone(NewTag([self = shared_from_this(),
                           then = std::move(then)](bool ok) { then(ok); }));
}

void InsideCalls::Stream::Read(Then then) {
  rpc_->Read(&received_,
             NewTag([self = shared_from_this(),
                     then = std::move(then)](bool ok) { then(ok); }));
}

void InsideCalls::Stream::Finish(
    std::function<void(const absl::Status&)> then) {
  rpc_->Finish(&status_,
               NewTag([self = shared_from_this(), then = std::move(then)](
                          bool) { then(FromGrpcStatus(self->status_)); }));
}

}  // namespace zeroshot::server::http
