#include "client/connection.h"

#include <chrono>
#include <random>

#include "absl/strings/substitute.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"

namespace zeroshot::client {
namespace {

// A name that stands for several servers: their calls go round.
constexpr char kRoundRobin[] =
    R"("loadBalancingConfig": [{"round_robin": {}}])";

std::string ServiceConfig(int max_attempts) {
  if (max_attempts == 1) return absl::StrCat("{", kRoundRobin, "}");
  return absl::Substitute(R"({$0, "methodConfig": [{
    "name": [{"service": "$1"}],
    "retryPolicy": {
      "maxAttempts": $2,
      "initialBackoff": "0.1s",
      "maxBackoff": "2s",
      "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE"]
    }}]})",
                          kRoundRobin, kService, max_attempts);
}

}  // namespace

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& target,
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
  arguments.SetServiceConfigJSON(ServiceConfig(options.max_attempts));
  if (options.max_attempts > 1) {
    // A request over this size (256 KiB unless told) is not tried again:
    // that would leave out most photographs.
    arguments.SetInt(GRPC_ARG_PER_RPC_RETRY_BUFFER_SIZE,
                     options.max_message_bytes);
  } else {
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  }
  return grpc::CreateCustomChannel(target,
                                   options.credentials != nullptr
                                       ? options.credentials
                                       : grpc::InsecureChannelCredentials(),
                                   arguments);
}

void SetDeadline(absl::Time until, grpc::ClientContext* context) {
  if (until == absl::InfiniteFuture()) return;
  context->set_deadline(absl::ToChronoTime(until));
}

bool WaitedForRoom(const grpc::Status& status, absl::Time until) {
  static thread_local std::minstd_rand random(std::random_device{}());
  const absl::Duration wait =
      RetryDelay(status) *
      std::uniform_real_distribution<double>(1, 1.5)(random);
  if (wait == absl::ZeroDuration() || absl::Now() + wait >= until) return false;
  absl::SleepFor(wait);
  return true;
}

}  // namespace zeroshot::client
