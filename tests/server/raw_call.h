// Calls by method name with bytes in and out: for services whose messages no
// installed library has (health, reflection).
#ifndef ZEROSHOT_TESTS_SERVER_RAW_CALL_H_
#define ZEROSHOT_TESTS_SERVER_RAW_CALL_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace zeroshot::server {

// One call in which the client sends one message, unless `last` is false the
// last one, and reads what it likes.
// Thread rule: one object, one thread.
class RawCall {
 public:
  RawCall(const std::shared_ptr<grpc::Channel>& channel,
          const std::string& method, const std::string& request,
          bool last = true)
      : stub_(channel) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
    call_ = stub_.PrepareCall(&context_, method, &queue_);
    call_->StartCall(nullptr);
    Next();
    grpc::Slice slice(request);
    const grpc::ByteBuffer message(&slice, 1);
    last ? call_->WriteLast(message, {}, nullptr)
         : call_->Write(message, nullptr);
    Next();
  }

  ~RawCall() {
    context_.TryCancel();
    queue_.Shutdown();
    while (Next()) {
    }
  }

  // False at the end of the stream.
  bool Read(std::string* message) {
    grpc::ByteBuffer buffer;
    call_->Read(&buffer, nullptr);
    if (!Next()) return false;
    grpc::Slice slice;
    if (!buffer.DumpToSingleSlice(&slice).ok()) return false;
    message->assign(reinterpret_cast<const char*>(slice.begin()), slice.size());
    return true;
  }

  grpc::Status Finish() {
    grpc::Status status;
    call_->Finish(&status, nullptr);
    Next();
    return status;
  }

 private:
  bool Next() {
    void* tag;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }

  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
};

// What a server sent as grpc-retry-pushback-ms; negative: nothing.
inline absl::Duration RetryPushback(const grpc::ClientContext& context) {
  const auto& metadata = context.GetServerTrailingMetadata();
  const auto found = metadata.find("grpc-retry-pushback-ms");
  int64_t ms = -1;
  if (found != metadata.end()) {
    ms = std::stoll(std::string(found->second.data(), found->second.size()));
  }
  return absl::Milliseconds(ms);
}

// grpc.health.v1 Check: "SERVING", "NOT_SERVING" or the error's code.
inline std::string Health(const std::shared_ptr<grpc::Channel>& channel,
                          const std::string& service) {
  const std::string request =
      service.empty()
          ? ""
          : std::string{'\x0a', static_cast<char>(service.size())} + service;
  RawCall call(channel, "/grpc.health.v1.Health/Check", request);
  std::string response;
  const bool answered = call.Read(&response);
  const grpc::Status status = call.Finish();
  if (!status.ok()) return "code " + std::to_string(status.error_code());
  if (answered && response == "\x08\x01") return "SERVING";
  if (answered && response == "\x08\x02") return "NOT_SERVING";
  return "unexpected answer";
}

}  // namespace zeroshot::server

#endif  // ZEROSHOT_TESTS_SERVER_RAW_CALL_H_
