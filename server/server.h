// The server: the gRPC port with the ZeroShot service, health and reflection,
// and HTTP beside it.
#ifndef ZEROSHOT_SERVER_SERVER_H_
#define ZEROSHOT_SERVER_SERVER_H_

#include <grpcpp/server.h>

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "clip/model.h"
#include "server/calls.h"
#include "server/credentials.h"
#include "server/engine.h"
#include "server/health_service.h"
#include "server/inference/inference_service.h"
#include "server/metrics.h"
#include "server/options.h"
#include "server/reflection_service.h"
#include "server/service.h"
#include "server/status_page.h"
#include "server/stores.h"
#include "server/tokens.h"
#include "server/tracing.h"
#include "server/watchdog.h"

namespace zeroshot::server {
namespace http {
class Front;  // server/http/front.h
}  // namespace http

// Health (grpc.health.v1) of "" and of "zeroshot.v1.ZeroShot" is NOT_SERVING
// from Start to Serve, from Drain on, while the watchdog finds something wrong
// and when no device is left, else SERVING.
//
// Thread rule: gRPC calls in on threads of its own; the methods below are
// called by one thread.
class Server {
 public:
  // Opens the port. Calls are Unavailable until Serve.
  // Unavailable: the address is in use or not of this machine.
  // InvalidArgument, NotFound: a certificate, key or token file is not good,
  // or --disk_store is no folder to write to.
  //
  // `on_broken` (may be null) is called, on another thread, when nothing but a
  // new process helps: the port takes no connections any more, or no device is
  // left.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      const ServerOptions& options, std::function<void()> on_broken = nullptr);

  // Drains without waiting, unless Drain was called.
  ~Server();

  // Opens --http_listen, if there is one. Errors: as of Start.
  absl::Status ListenHttp();

  // Tries `model`, loaded and warmed up, on a first image. Unavailable: it
  // does not come back, the device hangs. Then the process must end without
  // waiting for anything of this server. REQUIRES: called once.
  absl::Status Prepare(std::unique_ptr<clip::Model> model);

  // From now on the prepared model answers. REQUIRES: Prepare went well.
  void Open();

  // Both. REQUIRES: the device does not hang.
  void Serve(std::unique_ptr<clip::Model> model);

  // The port that is listened on.
  int port() const { return port_; }

  // The port of HTTP; 0: none.
  int http_port() const;

  // Takes tokens from their file and looks at the certificate's files again if
  // they have changed, or `anyway`, and logs what came of it. While new
  // connections cannot be made the server is not ready.
  void ReloadFiles(bool anyway);

  // What /metrics, /livez and /readyz show; callable from any thread.
  StatusSource status_source();

  // Turns health to NOT_SERVING and goes on for `grace`, so that load
  // balancers notice; then refuses new calls (Unavailable), ends builds
  // (Unavailable), waits for the other calls inside and closes the port.
  // Returns how many calls had to be cut off, as Cancelled, because they went
  // on for longer than `timeout`.
  int Drain(absl::Duration grace, absl::Duration timeout);

 private:
  Server(const ServerOptions& options, std::unique_ptr<Tokens> tokens,
         std::unique_ptr<Stores> stores);

  // On the thread of a call that met the loss.
  void DeviceLost(const clip::Model& model, const clip::LostDevice& device);

  // OK unless only a restart helps.
  absl::Status Live();
  // OK while calls should be sent here.
  absl::Status Ready();
  // Whether the port answers, and calls find threads; the watchdog asks.
  bool IsProbedWell();
  // Tells grpc.health.v1 what Ready says.
  void UpdateHealth();

  const ServerOptions options_;
  base::Mutex health_mu_;  // keeps the health told and Ready the same
  base::Mutex mu_;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status verdict_ ABSL_GUARDED_BY(mu_);  // the watchdog's
  absl::Status files_ ABSL_GUARDED_BY(mu_);    // the certificate's
  absl::Status devices_ ABSL_GUARDED_BY(mu_);  // OK while one is left
  std::function<void()> on_broken_;
  Metrics metrics_;
  const std::unique_ptr<Tokens> tokens_;           // null: anyone may call
  std::unique_ptr<Tracer> tracer_;                 // null: no spans are made
  std::unique_ptr<CertificateFiles> certificate_;  // null: plain text
  const std::unique_ptr<Stores> stores_;
  std::unique_ptr<Engine> engine_;
  Calls calls_;
  Service service_;
  InferenceService inference_;
  HealthService health_;
  ReflectionService reflection_;
  std::unique_ptr<grpc::Server> grpc_;  // goes before what it calls
  std::unique_ptr<http::Front> http_;   // null: no HTTP
  base::Mutex probe_mu_;                // held while the watchdog asks
  // The watchdog's way in; null: not there yet, or no more.
  std::shared_ptr<grpc::Channel> inside_ ABSL_GUARDED_BY(probe_mu_);
  int port_ = 0;
  std::unique_ptr<Watchdog> watchdog_;  // first to go
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_SERVER_H_
