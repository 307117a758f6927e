// What a Client holds: the channel, its stub, and how every call is made.
// Internal.
//
// Thread rule: every method may be called from many threads at once.
#ifndef ZEROSHOT_CLIENT_CONNECTION_H_
#define ZEROSHOT_CLIENT_CONNECTION_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/client.h"
#include "client/convert.h"
#include "client/grpc_status.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "zeroshot/v1/zeroshot.grpc.pb.h"

namespace zeroshot::client {

inline constexpr char kService[] = "zeroshot.v1.ZeroShot";

std::shared_ptr<grpc::Channel> MakeChannel(
    const std::string& target,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    const ClientOptions& options);

// Ends a call that another thread makes, and those that begin later.
class Cancellation {
 public:
  void Cancel();

  // The call that Cancel ends; null: none is made now.
  void Watch(grpc::ClientContext* context);

  // False, at once, if it is cancelled before `duration` is over.
  bool SleepFor(absl::Duration duration);

 private:
  std::mutex mu_;  // guards all below
  std::condition_variable changed_;
  bool cancelled_ = false;
  grpc::ClientContext* context_ = nullptr;
};

// How a call is made again, beyond what gRPC does.
struct Repeating {
  // Also where the server is Unavailable: for a method that gRPC does not
  // repeat.
  bool unavailable_too = false;
  Cancellation* cancellation = nullptr;
};

// Waits as the server asks, if it refused the call with a delay for which there
// is time until `until`: then it did nothing. Somewhat longer, at random, so
// that those it sent away together do not come back together.
bool WaitedAsAsked(const grpc::Status& status, absl::Time until,
                   const Repeating& repeating = {});

struct Client::Connection {
  Connection(const std::string& target,
             const std::shared_ptr<grpc::ChannelCredentials>& credentials,
             ClientOptions client_options)
      : options(std::move(client_options)),
        channel(MakeChannel(target, credentials, options)),
        stub(v1::ZeroShot::NewStub(channel)) {}

  // Makes one unary call: `method` is a method of the stub. A full server says
  // when to come again; we do, while attempts and time are left.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(
      grpc::Status (v1::ZeroShot::Stub::*method)(grpc::ClientContext*,
                                                 const Request&, Response*),
      const Request& request, absl::Time until,
      const Repeating& repeating = {}) {
    Cancellation* const cancellation = repeating.cancellation;
    absl::Status text = CheckText(request);
    if (!text.ok()) return text;
    for (int attempt = 1;; ++attempt) {
      grpc::ClientContext context;
      Prepare(until, &context);
      if (cancellation != nullptr) cancellation->Watch(&context);
      Response response;
      const grpc::Status status =
          (stub.get()->*method)(&context, request, &response);
      if (cancellation != nullptr) cancellation->Watch(nullptr);
      if (status.ok()) return response;
      if (attempt >= options.max_attempts ||
          !WaitedAsAsked(status, until, repeating)) {
        return FromGrpcStatus(status);
      }
    }
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(
      grpc::Status (v1::ZeroShot::Stub::*method)(grpc::ClientContext*,
                                                 const Request&, Response*),
      const Request& request) {
    return Call(method, request, absl::Now() + options.timeout);
  }

  // What every call sends.
  void Prepare(absl::Time until, grpc::ClientContext* context) const;

  absl::StatusOr<BuildResult> Build(const ClassifierSpec& spec,
                                    Cancellation* cancellation = nullptr);
  absl::StatusOr<BuildResult> BuildStream(const ClassifierSpec& spec,
                                          const OnBuildProgress& on_progress);
  absl::StatusOr<std::vector<Answer>> Classify(
      absl::string_view image, absl::Span<const std::string> weight_set_ids,
      const ClassifyOptions& options, absl::Time until);

  // Asks grpc.health.v1 once.
  absl::Status CheckHealth(absl::Time until);

  const ClientOptions options;
  const std::shared_ptr<grpc::Channel> channel;
  const std::unique_ptr<v1::ZeroShot::Stub> stub;
};

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CONNECTION_H_
