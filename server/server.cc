#include "server/server.h"

#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/host_port.h"
#include "base/monotonic.h"
#include "server/authorizer.h"
#include "server/credentials.h"
#include "server/http/front.h"
#include "server/log.h"
#include "server/port_probe.h"

namespace zeroshot::server {
namespace {

// Threads beyond those that admission lets in: pollers, calls that it
// refuses or that need none.
constexpr int kThreadHeadroom = 64;

// How long answers may take to leave after their calls are done.
constexpr absl::Duration kFlushTime = absl::Seconds(1);

// Between two looks of the watchdog.
constexpr absl::Duration kWatchInterval = absl::Seconds(5);

// How long the own port may be silent when dialled, on a busy machine too.
constexpr absl::Duration kPortPatience = absl::Seconds(5);

// Why a port could not be opened.
std::string WhyNot(const std::string& system_error) {
  if (system_error == std::strerror(EADDRINUSE)) {
    return "the port is in use; --listen= names another one";
  }
  if (!system_error.empty()) return system_error;
  return "the port is in use, or the address is not one of this machine's";
}

// Clients that keep connections alive ping every 5 or 10 s, for as long as a
// call takes; more often than this is a flood, and the connection is closed
// after a few.
constexpr absl::Duration kLeastBetweenPings = absl::Seconds(1);

// How often we ask whether a silent client is still there, and how long it may
// take to say so: else connections whose other end has vanished would stay.
constexpr absl::Duration kKeepaliveInterval = absl::Minutes(1);
constexpr absl::Duration kKeepaliveTimeout = absl::Seconds(20);

// For a TLS handshake and HTTP/2's first frames.
constexpr absl::Duration kHandshakeTimeout = absl::Seconds(20);

// What one connection may do before anybody knows whose it is.
void LimitConnections(const ServerOptions& options,
                      grpc::ServerBuilder* builder) {
  const auto add = [builder](const char* name, int value) {
    builder->AddChannelArgument(name, value);
  };
  const auto milliseconds = [](absl::Duration time) {
    return static_cast<int>(absl::ToInt64Milliseconds(time));
  };
  // A proxy may have one connection for all its callers.
  add(GRPC_ARG_MAX_CONCURRENT_STREAMS,
      std::max(options.max_streams, options.max_inflight));
  add(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, milliseconds(kHandshakeTimeout));
  add(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
      milliseconds(kLeastBetweenPings));
  add(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  add(GRPC_ARG_KEEPALIVE_TIME_MS, milliseconds(kKeepaliveInterval));
  add(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, milliseconds(kKeepaliveTimeout));
  // Else gRPC's own pings would stop after two that brought no data.
  add(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
}

}  // namespace

Server::Server(const ServerOptions& options, std::unique_ptr<Tokens> tokens,
               std::unique_ptr<Stores> stores)
    : options_(options),
      tokens_(std::move(tokens)),
      tracer_(StartTracer(options.tracing)),
      stores_(std::move(stores)),
      calls_(tokens_.get(), &metrics_, tracer_.get(), options.client_patience),
      service_(options, &calls_, &metrics_),
      inference_(
          options, &service_, &calls_, [this] { return Live(); },
          [this] { return Ready(); }) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    const ServerOptions& options, std::function<void()> on_broken) {
  std::unique_ptr<Tokens> tokens;
  if (!options.security.auth_tokens.empty()) {
    auto loaded = Tokens::Load(options.security.auth_tokens);
    if (!loaded.ok()) return loaded.status();
    tokens = *std::move(loaded);
  }
  absl::StatusOr<std::unique_ptr<Stores>> stores = Stores::Open(options);
  if (!stores.ok()) return stores.status();
  std::unique_ptr<Server> server(
      new Server(options, std::move(tokens), *std::move(stores)));
  const auto credentials = MakeServerCredentials(
      options.security, server->tokens_ == nullptr
                            ? nullptr
                            : std::make_shared<Authorizer>(
                                  server->tokens_.get(), &server->metrics_));
  if (!credentials.ok()) return credentials.status();

  // gRPC refuses calls when its threads are used up, without saying when to
  // try again: our admission must be the narrower one.
  grpc::ResourceQuota quota("zeroshot");
  quota.SetMaxThreads(options.max_inflight + options.max_builds +
                      Service::kMaxWaitingBuilds + Service::kMaxTransfers +
                      Service::kMaxScoringCalls + kThreadHeadroom);
  // Requests that are sent slowly and never end would fill the memory. HTTP has
  // a part of it.
  quota.Resize(static_cast<size_t>(
      RequestMemory::HalfOf(options) -
      (options.http_listen.empty() ? 0 : http::Api::BodyMemoryOf(options))));
  grpc::ServerBuilder builder;
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.max_request_bytes));
  // gRPC would unpack a message before it compares its size with the limit, and
  // images do not get smaller.
  for (const grpc_compression_algorithm algorithm :
       {GRPC_COMPRESS_DEFLATE, GRPC_COMPRESS_GZIP}) {
    builder.SetCompressionAlgorithmSupportStatus(algorithm, false);
  }
  // Else a second server on this port would silently take half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  LimitConnections(options, &builder);
  // gRPC varies it by a tenth, so that clients do not come back together, and
  // lets calls inside finish.
  if (options.max_connection_age > absl::ZeroDuration()) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                               static_cast<int>(absl::ToInt64Milliseconds(
                                   options.max_connection_age)));
  }
  builder.AddListeningPort(options.listen, *credentials, &server->port_);
  builder.RegisterService(&server->service_);
  builder.RegisterService(&server->inference_);
  builder.RegisterService(&server->health_);
  builder.RegisterService(&server->reflection_);
  const HeldGrpcErrors errors;
  server->grpc_ = builder.BuildAndStart();
  if (server->grpc_ == nullptr) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ",
                                               options.listen, ": ",
                                               WhyNot(errors.SystemError())));
  }
  server->on_broken_ = std::move(on_broken);
  if (!options.security.tls_cert.empty()) {
    server->certificate_ = std::make_unique<CertificateFiles>(options.security);
    server->ReloadFiles(/*anyway=*/false);
  }
  server->UpdateHealth();
  return server;
}

Server::~Server() {
  if (grpc_ != nullptr) Drain(absl::ZeroDuration(), absl::ZeroDuration());
}

absl::Status Server::ListenHttp() {
  if (options_.http_listen.empty()) return absl::OkStatus();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);  // our own answers
  auto front =
      http::Front::Start(options_, grpc_->InProcessChannel(arguments),
                         tokens_.get(), &calls_, &metrics_, status_source());
  if (!front.ok()) return front.status();
  http_ = *std::move(front);
  return absl::OkStatus();
}

int Server::http_port() const { return http_ == nullptr ? 0 : http_->port(); }

absl::Status Server::Live() {
  base::MutexLock lock(&mu_);
  return devices_.ok() ? verdict_ : devices_;
}

absl::Status Server::Ready() {
  absl::Status calls = calls_.Ready();
  if (!calls.ok()) return calls;
  {
    base::MutexLock lock(&mu_);
    if (draining_) return absl::UnavailableError("the server is stopping");
    if (!files_.ok()) return files_;
  }
  return Live();
}

void Server::ReloadFiles(bool anyway) {
  // The token file is looked at by a thread of its own.
  if (tokens_ != nullptr && anyway) (void)tokens_->ReadAgain();
  if (certificate_ == nullptr) return;
  const int loads = certificate_->loads();
  const bool good = certificate_->Look(anyway).ok();
  if (http_ != nullptr && certificate_->loads() != loads) {
    (void)http_->ReloadCertificate();  // of files that were just found good
  }
  // The log has the details; the page of /readyz names no files.
  const absl::Status status =
      good ? absl::OkStatus()
           : absl::UnavailableError(
                 "--tls_cert and --tls_key do not fit, so that new connections "
                 "fail");
  {
    base::MutexLock lock(&mu_);
    if (files_.ok() == status.ok()) return;
    files_ = status;
  }
  UpdateHealth();
}

void Server::UpdateHealth() {
  base::MutexLock lock(&health_mu_);
  health_.Set(Ready().ok());
}

void Server::DeviceLost(const clip::Model& model,
                        const clip::LostDevice& device) {
  const int left = model.devices_left();
  spdlog::warn("{} is lost and taken out, {} of {} devices are left: {}",
               device.name, left, model.info().devices.size(),
               std::string(device.why.message()));
  if (left > 0) return;
  {
    base::MutexLock lock(&mu_);
    if (!devices_.ok()) return;  // two were lost at once: one thread goes on
    devices_ = absl::UnavailableError(absl::StrCat(
        "no device is left: all of ", model.info().device, " are lost"));
  }
  spdlog::error(
      "no device is left: the server ends, so that it is started again");
  // Before Drain, which others may take their time to call.
  UpdateHealth();
  if (on_broken_) on_broken_();
}

void Server::Serve(std::unique_ptr<clip::Model> model) {
  if (Prepare(std::move(model)).ok()) Open();
}

bool Server::IsProbedWell() {
  const absl::Duration patience =
      std::min(kPortPatience, options_.watchdog_timeout);
  const std::string address =
      base::HostPortText({base::ParseHostPort(options_.listen)->host, port_});
  base::MutexLock lock(&probe_mu_);
  if (inside_ == nullptr) return true;  // the server is about to shut down
  return IsServed(address, !options_.security.tls_cert.empty(), patience) &&
         HasThreads(inside_, patience);
}

absl::Status Server::Prepare(std::unique_ptr<clip::Model> model) {
  {
    base::MutexLock lock(&probe_mu_);
    inside_ = grpc_->InProcessChannel(grpc::ChannelArguments());
  }
  model->SetOnDeviceLost(
      [this, lost = model.get()](const clip::LostDevice& device) {
        DeviceLost(*lost, device);
      });
  engine_ = std::make_unique<Engine>(std::move(model), options_, stores_.get(),
                                     &metrics_);
  watchdog_ = std::make_unique<Watchdog>(
      &engine_->embedder,
      Watchdog::Options{
          .timeout = options_.watchdog_timeout,
          .interval = std::min(kWatchInterval, options_.watchdog_timeout / 4),
          .first_timeout = options_.first_image_timeout},
      [this] { return IsProbedWell(); },
      [this](const absl::Status& verdict) {
        {
          base::MutexLock lock(&mu_);
          verdict_ = verdict;
        }
        if (verdict.ok()) spdlog::info("the tower is well again");
        if (!verdict.ok()) spdlog::error("{}", std::string(verdict.message()));
        UpdateHealth();
      },
      [this] {
        spdlog::error("the port does not answer any more");
        if (on_broken_) on_broken_();
      });
  if (watchdog_->first_came_back()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      "the device did not finish a first image within ",
      absl::FormatDuration(options_.first_image_timeout), ": it hangs"));
}

void Server::Open() {
  calls_.Open(engine_.get());
  UpdateHealth();
}

StatusSource Server::status_source() {
  return {.metrics =
              [this] {
                Readings readings = service_.Read();
                readings.ready = Ready().ok();
                if (certificate_ != nullptr) {
                  readings.certificate_expires = certificate_->expires();
                }
                return metrics_.Text(readings);
              },
          .live = [this] { return Live(); },
          .ready = [this] { return Ready(); },
          .remarks =
              [this] {
                std::string remarks;
                Engine* engine = calls_.engine();
                if (engine == nullptr) return remarks;
                for (const auto& device : engine->model->lost_devices()) {
                  absl::StrAppend(&remarks, device.name,
                                  " is lost: ", device.why.message(), "\n");
                }
                return remarks;
              }};
}

int Server::Drain(absl::Duration grace, absl::Duration timeout) {
  {
    base::MutexLock lock(&mu_);
    draining_ = true;
  }
  UpdateHealth();
  if (http_ != nullptr) http_->Drain();
  absl::SleepFor(grace);
  calls_.Close();
  const absl::Time deadline = base::MonotonicNow() + timeout;
  const int cut_off = calls_.WaitUntilIdle(deadline);
  const absl::Duration flush = cut_off == 0 ? kFlushTime : absl::ZeroDuration();
  if (http_ != nullptr) http_->Stop(deadline, flush);
  {
    // A call that begins on an in-process channel whose server shuts down ends
    // the process (gRPC 1.51).
    base::MutexLock lock(&probe_mu_);
    inside_.reset();
  }
  // gRPC's own Shutdown would wait for health watches too, which never end by
  // themselves: only our calls get the whole timeout.
  grpc_->Shutdown(absl::ToChronoTime(absl::Now() + flush));
  grpc_->Wait();
  watchdog_.reset();
  return cut_off;
}

}  // namespace zeroshot::server
