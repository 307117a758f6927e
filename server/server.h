// The gRPC server: one port, the ZeroShot service, health and reflection.
#ifndef ZEROSHOT_SERVER_SERVER_H_
#define ZEROSHOT_SERVER_SERVER_H_

#include <grpcpp/server.h>

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "clip/model.h"
#include "server/calls.h"
#include "server/engine.h"
#include "server/metrics.h"
#include "server/options.h"
#include "server/service.h"
#include "server/status_page.h"
#include "server/tokens.h"

namespace zeroshot::server {

// Health (grpc.health.v1) of "" and of "zeroshot.v1.ZeroShot" is NOT_SERVING
// from Start to Serve and from Drain on, else SERVING.
//
// Thread rule: gRPC calls in on threads of its own; the methods below are
// called by one thread.
class Server {
 public:
  // Opens the port. Calls are Unavailable until Serve.
  // Unavailable: the address is in use or not of this machine.
  // InvalidArgument, NotFound: a certificate, key or token file is not good.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      const ServerOptions& options);

  // Drains without waiting, unless Drain was called.
  ~Server();

  // From now on `model`, loaded and warmed up, answers. REQUIRES: called once.
  void Serve(std::unique_ptr<clip::Model> model);

  // The port that is listened on.
  int port() const { return port_; }

  // What /metrics, /livez and /readyz show; callable from any thread.
  StatusSource status_source();

  // Turns health to NOT_SERVING, refuses new calls (Unavailable), waits for
  // those inside, then closes the port. Returns how many calls had to be cut
  // off, as Cancelled, because they went on for longer than `timeout`.
  int Drain(absl::Duration timeout);

 private:
  Server(const ServerOptions& options, std::unique_ptr<Tokens> tokens);
  void SetHealth(bool serving);

  const ServerOptions options_;
  Metrics metrics_;
  const std::unique_ptr<Tokens> tokens_;  // null: anyone may call
  std::unique_ptr<Engine> engine_;
  Calls calls_;
  Service service_;
  std::unique_ptr<grpc::Server> grpc_;  // first to go: it calls the others
  int port_ = 0;
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_SERVER_H_
