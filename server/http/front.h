// The HTTP side of the server: a port, the API behind it, and its way to the
// service.
#ifndef ZEROSHOT_SERVER_HTTP_FRONT_H_
#define ZEROSHOT_SERVER_HTTP_FRONT_H_

#include <grpcpp/channel.h>

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/calls.h"
#include "server/http/api.h"
#include "server/http/http_server.h"
#include "server/http/inside_calls.h"
#include "server/metrics.h"
#include "server/options.h"
#include "server/status_page.h"
#include "server/tokens.h"

namespace zeroshot::server::http {

// Thread rule: requests are answered on threads of its own; the methods are
// called by one thread at a time.
class Front {
 public:
  // Opens options.http_listen. `channel` is the gRPC server's in-process one.
  // Borrows the rest. Errors: see HttpServer::Start.
  static absl::StatusOr<std::unique_ptr<Front>> Start(
      const ServerOptions& options,
      const std::shared_ptr<grpc::Channel>& channel, Tokens* tokens,
      Calls* calls, Metrics* metrics, StatusSource status);

  // REQUIRES: the gRPC server has been shut down, so that every call has ended.
  ~Front();

  int port() const { return server_->port(); }
  int connections() const { return server_->connections(); }
  absl::Status ReloadCertificate() { return server_->ReloadCertificate(); }

  // From now on connections are closed after their next answer.
  void Drain() { server_->Drain(); }

  // Closes the port and, after HttpServer::Stop's waits, all connections.
  void Stop(absl::Time answered, absl::Duration flush);

 private:
  Front() = default;

  // In the order in which they go: callbacks of calls in the way post to
  // connections, and these answer by the API.
  std::unique_ptr<Api> api_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<InsideCalls> inside_;  // first
};

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_FRONT_H_
