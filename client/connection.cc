#include "client/connection.h"

#include <chrono>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "client/credentials.h"
#include "grpcpp/create_channel.h"

namespace zeroshot::client {
namespace {

// A name that stands for several servers: calls go round them. A call that
// arrives just as a server closes its port ends as CANCELLED; we never cancel.
// Every method is safe to repeat but DeleteWeightSet, whose second attempt
// would not find what the first has deleted. While most calls fail no more
// attempts are made: the tokens are enough for a restart under 256 callers.
std::string ServiceConfig(const ClientOptions& options) {
  std::string config = R"({"loadBalancingConfig": [{"round_robin": {}}])";
  if (options.watch_health) {
    absl::SubstituteAndAppend(
        &config, R"(, "healthCheckConfig": {"serviceName": "$0"})", kService);
  }
  if (options.max_attempts > 1) {
    absl::SubstituteAndAppend(&config, R"(,
      "retryThrottling": {"maxTokens": 1000, "tokenRatio": 0.5},
      "methodConfig": [{
      "name": [{"service": "$0", "method": "DeleteWeightSet"}]
      }, {
      "name": [{"service": "$0"}],
      "retryPolicy": {
        "maxAttempts": $1,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"]
      }}])",
                              kService, options.max_attempts);
  }
  return absl::StrCat(config, "}");
}

}  // namespace

std::shared_ptr<grpc::Channel> MakeChannel(
    const std::string& target,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    const ClientOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(options.max_message_bytes);
  arguments.SetMaxSendMessageSize(options.max_message_bytes);
  // By default gRPC looks for a server that is away first after a second and
  // then ever more seldom: the first would be after all our attempts.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // When a server goes its name is asked anew, by default every 30 s at most:
  // a rolling restart can replace them all in that time.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000);
  arguments.SetServiceConfigJSON(ServiceConfig(options));
  if (options.max_attempts > 1) {
    // A request over this size (256 KiB unless told) is not tried again:
    // that would leave out most photographs.
    arguments.SetInt(GRPC_ARG_PER_RPC_RETRY_BUFFER_SIZE,
                     options.max_message_bytes);
  } else {
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  }
  return grpc::CreateCustomChannel(target, credentials, arguments);
}

void Cancellation::Cancel() {
  std::lock_guard<std::mutex> lock(mu_);
  cancelled_ = true;
  if (context_ != nullptr) context_->TryCancel();
  changed_.notify_all();
}

void Cancellation::Watch(grpc::ClientContext* context) {
  std::lock_guard<std::mutex> lock(mu_);
  context_ = context;
  if (cancelled_ && context != nullptr) context->TryCancel();
}

bool Cancellation::SleepFor(absl::Duration duration) {
  std::unique_lock<std::mutex> lock(mu_);
  return !changed_.wait_for(lock, absl::ToChronoNanoseconds(duration),
                            [this] { return cancelled_; });
}

bool WaitedAsAsked(const grpc::Status& status, absl::Time until,
                   const Repeating& repeating) {
  static thread_local std::minstd_rand random(std::random_device{}());
  const bool refused =
      status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED ||
      (repeating.unavailable_too &&
       status.error_code() == grpc::StatusCode::UNAVAILABLE);
  if (!refused) return false;
  const absl::Duration wait =
      RetryDelay(status) *
      std::uniform_real_distribution<double>(1, 1.5)(random);
  if (wait == absl::ZeroDuration() || absl::Now() + wait >= until) return false;
  if (repeating.cancellation != nullptr) {
    return repeating.cancellation->SleepFor(wait);
  }
  absl::SleepFor(wait);
  return true;
}

void Client::Connection::Prepare(absl::Time until,
                                 grpc::ClientContext* context) const {
  if (until != absl::InfiniteFuture()) {
    context->set_deadline(absl::ToChronoTime(until));
  }
  if (SendsTokenItself(options)) {
    context->AddMetadata("authorization",
                         absl::StrCat("Bearer ", options.token));
  }
}

}  // namespace zeroshot::client
