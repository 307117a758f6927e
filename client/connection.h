// What a Client holds: the channel, its stub, and how every call is made.
// Internal.
//
// Thread rule: every method may be called from many threads at once.
#ifndef ZEROSHOT_CLIENT_CONNECTION_H_
#define ZEROSHOT_CLIENT_CONNECTION_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/call_options.h"
#include "client/client.h"
#include "client/convert.h"
#include "client/credentials.h"
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

struct Client::Connection {
  Connection(std::string target, std::shared_ptr<grpc::Channel> channel,
             TokenWay token_way, ClientOptions options);

  // When a call is over that may take `timeout` unless it says otherwise.
  static absl::Time Until(const CallOptions& call, absl::Duration timeout);
  absl::Time Until(const CallOptions& call) const {
    return Until(call, options.timeout);
  }

  // InvalidArgument: what cannot be sent with a call.
  absl::Status Check(const CallOptions& call) const;

  // A call under way: its context, with all that every call sends, which ends
  // when the call is cancelled.
  class Attempt {
   public:
    // REQUIRES: Check(call) is OK.
    Attempt(const Connection& connection, const CallOptions& call,
            absl::Time until);
    grpc::ClientContext* context() { return &context_; }

   private:
    grpc::ClientContext context_;
    const Cancellation::Watch watch_;
  };

  // What a call that ended with `status` comes to.
  static absl::Status Ended(const grpc::Status& status,
                            const CallOptions& call);

  // Whether a call that ended with `status` is made again. If the server
  // refused the call with a delay, it did nothing: this waits for the delay, if
  // there is time until `until`. It waits somewhat longer, at random, so that
  // callers who were refused together do not come back together.
  // `unavailable_too`: also where the server is Unavailable, for a method that
  // gRPC does not repeat.
  bool MayRepeat(int attempt, const grpc::Status& status, absl::Time until,
                 const CallOptions& call, bool unavailable_too = false) const;

  // Makes one unary call: `method` is a method of the stub. A full server says
  // when to come again; we do, while attempts and time are left.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(
      grpc::Status (v1::ZeroShot::Stub::*method)(grpc::ClientContext*,
                                                 const Request&, Response*),
      const Request& request, const CallOptions& call, absl::Time until,
      bool unavailable_too = false) const {
    absl::Status good = CheckText(request);
    if (good.ok()) good = Check(call);
    if (!good.ok()) return good;
    for (int attempt = 1;; ++attempt) {
      Response response;
      const grpc::Status status = (stub.get()->*method)(
          Attempt(*this, call, until).context(), request, &response);
      if (status.ok()) return response;
      if (!MayRepeat(attempt, status, until, call, unavailable_too)) {
        return Ended(status, call);
      }
    }
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(
      grpc::Status (v1::ZeroShot::Stub::*method)(grpc::ClientContext*,
                                                 const Request&, Response*),
      const Request& request, const CallOptions& call) const {
    return Call(method, request, call, Until(call));
  }

  absl::StatusOr<BuildResult> BuildStream(const ClassifierSpec& spec,
                                          const OnBuildProgress& on_progress,
                                          const CallOptions& call) const;

  // Sends a request that says what to classify, and with what: adds options.
  absl::StatusOr<BatchAnswer> ClassifyBatch(v1::ClassifyBatchRequest request,
                                            const ClassifyOptions& options,
                                            const CallOptions& call) const;

  // Asks grpc.health.v1 once.
  absl::Status CheckHealth(const CallOptions& call, absl::Time until) const;

  const ClientOptions options;
  const std::string target;
  const std::shared_ptr<grpc::Channel> channel;
  const std::unique_ptr<v1::ZeroShot::Stub> stub;
  const TokenWay token_way;
  // Of options.token; null: none goes this way.
  const std::shared_ptr<grpc::CallCredentials> call_credentials;
};

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CONNECTION_H_
