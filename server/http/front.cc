#include "server/http/front.h"

#include <utility>

namespace zeroshot::server::http {

absl::StatusOr<std::unique_ptr<Front>> Front::Start(
    const ServerOptions& options, const std::shared_ptr<grpc::Channel>& channel,
    Tokens* tokens, Calls* calls, Metrics* metrics, StatusSource status) {
  std::unique_ptr<Front> front(new Front);
  front->inside_ = std::make_unique<InsideCalls>(channel, calls->inside_key());
  front->api_ = std::make_unique<Api>(options, tokens, calls, metrics,
                                      front->inside_.get(), std::move(status));
  HttpServer::Options http;
  http.listen = options.http_listen;
  http.security = options.security;
  http.body_memory = Api::BodyMemoryOf(options);
  http.patience = options.client_patience;
  http.min_rate = options.min_transfer_rate;
  auto server = HttpServer::Start(http, front->api_.get());
  if (!server.ok()) return server.status();
  front->server_ = *std::move(server);
  return front;
}

Front::~Front() {
  if (server_ != nullptr) Stop(absl::InfinitePast(), absl::ZeroDuration());
}

void Front::Stop(absl::Time answered, absl::Duration flush) {
  server_->Stop(answered, flush);
  api_->Stop();
}

}  // namespace zeroshot::server::http
