// What a Client holds: the channel, its stub, and how every call is made.
// Internal.
//
// Thread rule: every method may be called from many threads at once.
#ifndef ZEROSHOT_CLIENT_CONNECTION_H_
#define ZEROSHOT_CLIENT_CONNECTION_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "client/grpc_status.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "zeroshot/v1/zeroshot.grpc.pb.h"

namespace zeroshot::client {

inline constexpr char kService[] = "zeroshot.v1.ZeroShot";

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& target,
                                           const ClientOptions& options);

void SetDeadline(absl::Time until, grpc::ClientContext* context);

// Waits as a full server asks, if it does and there is time for it until
// `until`. Somewhat longer, at random, so that those it sent away together do
// not come back together.
bool WaitedForRoom(const grpc::Status& status, absl::Time until);

struct Client::Connection {
  Connection(const std::string& target, ClientOptions client_options)
      : options(std::move(client_options)),
        channel(MakeChannel(target, options)),
        stub(v1::ZeroShot::NewStub(channel)) {}

  // Makes one unary call: `method` is a method of the stub. A full server says
  // when to come again; we do, while attempts and time are left.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(
      grpc::Status (v1::ZeroShot::Stub::*method)(grpc::ClientContext*,
                                                 const Request&, Response*),
      const Request& request, absl::Duration timeout) {
    const absl::Time until = absl::Now() + timeout;
    for (int attempt = 1;; ++attempt) {
      grpc::ClientContext context;
      Prepare(until, &context);
      Response response;
      const grpc::Status status =
          (stub.get()->*method)(&context, request, &response);
      if (status.ok()) return response;
      if (attempt >= options.max_attempts || !WaitedForRoom(status, until)) {
        return FromGrpcStatus(status);
      }
    }
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(
      grpc::Status (v1::ZeroShot::Stub::*method)(grpc::ClientContext*,
                                                 const Request&, Response*),
      const Request& request) {
    return Call(method, request, options.timeout);
  }

  // What every call of the service sends.
  void Prepare(absl::Time until, grpc::ClientContext* context) const {
    SetDeadline(until, context);
    if (!options.token.empty()) {
      context->AddMetadata("authorization",
                           absl::StrCat("Bearer ", options.token));
    }
  }

  absl::StatusOr<BuildResult> BuildStream(const ClassifierSpec& spec,
                                          const OnBuildProgress& on_progress);

  // Asks grpc.health.v1 once.
  absl::Status CheckHealth();

  const ClientOptions options;
  const std::shared_ptr<grpc::Channel> channel;
  const std::unique_ptr<v1::ZeroShot::Stub> stub;
};

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CONNECTION_H_
