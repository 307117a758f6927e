// Calls of zeroshot.v1.ZeroShot from within the process: what comes over HTTP
// passes the same tokens, admission, limits, metrics and log as what comes over
// gRPC, because it is a gRPC call from there on. No socket is between them.
#ifndef ZEROSHOT_SERVER_HTTP_INSIDE_CALLS_H_
#define ZEROSHOT_SERVER_HTTP_INSIDE_CALLS_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/request_tag.h"

namespace zeroshot::server::http {

// Who really calls.
struct Origin {
  std::string peer;           // "ipv4:192.0.2.1:50000"
  std::string certificate;    // whom the caller's certificate names; or empty
  std::string authorization;  // "Bearer TOKEN"; or empty
  RequestTag tag;
  absl::Duration timeout = absl::InfiniteDuration();
};

// Thread rule: every method may be called from many threads at once. Callbacks
// run on a thread of its own and must be quick.
class InsideCalls {
 public:
  // What holds a call, so that it can be given up: then it ends as Cancelled.
  class Call {
   public:
    void Cancel() { context_.TryCancel(); }

   protected:
    friend class InsideCalls;
    grpc::ClientContext context_;
  };

  // A call whose messages come and go one by one. Of each kind one operation at
  // a time. Begin first, Finish last.
  class Stream : public Call, public std::enable_shared_from_this<Stream> {
   public:
    using Then = std::function<void(bool ok)>;  // false: only Finish is left

    void Begin(Then then);
    void Write(const grpc::ByteBuffer& message, Then then);
    void WritesDone(Then then);
    // The message is in received() until the next Read.
    void Read(Then then);
    grpc::ByteBuffer& received() { return received_; }
    void Finish(std::function<void(const absl::Status&)> then);

   private:
    friend class InsideCalls;
    std::unique_ptr<grpc::GenericClientAsyncReaderWriter> rpc_;
    grpc::ByteBuffer received_;
    grpc::Status status_;
  };

  using Done =
      std::function<void(const absl::Status& status, grpc::ByteBuffer answer)>;

  // `channel`: the server's in-process one. `key`: what Calls knows it by.
  InsideCalls(const std::shared_ptr<grpc::Channel>& channel, std::string key);
  // REQUIRES: every call has ended.
  ~InsideCalls();

  // A call with one message each way; `path` as in server/methods.h.
  std::shared_ptr<Call> Unary(const char* path, const Origin& origin,
                              const grpc::ByteBuffer& request, Done done);
  std::shared_ptr<Stream> MakeStream(const char* path, const Origin& origin);

 private:
  void SetUp(const Origin& origin, grpc::ClientContext* context) const;
  void Loop();

  const std::string key_;
  grpc::GenericStub stub_;
  grpc::CompletionQueue queue_;
  std::thread thread_;  // last: starts when all else stands
};

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_INSIDE_CALLS_H_
