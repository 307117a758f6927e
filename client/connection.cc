#include "client/connection.h"

#include <algorithm>
#include <chrono>
#include <random>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "absl/time/clock.h"
#include "client/credentials.h"
#include "grpcpp/create_channel.h"

namespace zeroshot::client {
namespace {

// A name that stands for several servers: calls go round them. A call that
// arrives just as a server closes its port ends as CANCELLED, as one that its
// caller ends does, which gRPC does not repeat. Every method is safe to repeat
// but DeleteWeightSet, whose second attempt would not find what the first has
// deleted. While most calls fail no more attempts are made: the tokens are
// enough for a restart under 256 callers.
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
  // When a server goes its name is looked up again, by default every 30 s at
  // most: a rolling restart can replace them all in that time.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000);
  arguments.SetServiceConfigJSON(ServiceConfig(options));
  // A proxy would look for the server on its own machine.
  if (IsLoopbackTarget(target)) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
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

namespace {

std::shared_ptr<grpc::CallCredentials> CredentialsOf(const std::string& token,
                                                     TokenWay way) {
  return token.empty() || way != TokenWay::kCallCredentials
             ? nullptr
             : grpc::AccessTokenCredentials(token);
}

// gRPC ends the program over metadata that HTTP/2 cannot carry.
absl::Status CheckMetadata(absl::string_view name, absl::string_view value) {
  const bool named =
      !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
        return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-' ||
               c == '_' || c == '.';
      });
  if (!named) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the metadata's name '", absl::CHexEscape(name),
        "' has characters other than a-z 0-9 - _ .; none may be empty"));
  }
  if (name == "authorization") {
    return absl::InvalidArgumentError(
        "the metadata has authorization; CallOptions::token sends a token, "
        "where nobody can read it");
  }
  if (absl::StartsWith(name, "grpc-")) {
    return absl::InvalidArgumentError(
        absl::StrCat("the metadata has ", name, ", which is gRPC's own"));
  }
  const bool sendable =
      absl::EndsWith(name, "-bin") ||
      std::all_of(value.begin(), value.end(), absl::ascii_isprint);
  if (sendable) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the metadata's ", name,
      " has characters other than printable ASCII, for which its name must end "
      "in -bin"));
}

}  // namespace

Client::Connection::Connection(std::string connected_to,
                               std::shared_ptr<grpc::Channel> its_channel,
                               TokenWay way, ClientOptions client_options)
    : options(std::move(client_options)),
      target(std::move(connected_to)),
      channel(std::move(its_channel)),
      stub(v1::ZeroShot::NewStub(channel)),
      token_way(way),
      call_credentials(CredentialsOf(options.token, token_way)) {}

absl::Time Client::Connection::Until(const CallOptions& call,
                                     absl::Duration timeout) {
  return call.deadline.has_value() ? *call.deadline : absl::Now() + timeout;
}

absl::Status Client::Connection::Check(const CallOptions& call) const {
  for (const auto& [name, value] : call.metadata) {
    absl::Status sendable = CheckMetadata(name, value);
    if (!sendable.ok()) return sendable;
  }
  return CheckToken(call.token, token_way, target);
}

Client::Connection::Attempt::Attempt(const Connection& connection,
                                     const CallOptions& call, absl::Time until)
    : watch_(call.cancellation, [this] { context_.TryCancel(); }) {
  if (until != absl::InfiniteFuture()) {
    // gRPC takes times far in the past for the future.
    context_.set_deadline(
        absl::ToChronoTime(std::max(until, absl::UnixEpoch())));
  }
  for (const auto& [name, value] : call.metadata) {
    context_.AddMetadata(name, value);
  }
  const std::string& token =
      call.token.empty() ? connection.options.token : call.token;
  if (connection.token_way == TokenWay::kCallCredentials) {
    context_.set_credentials(call.token.empty()
                                 ? connection.call_credentials
                                 : CredentialsOf(token, connection.token_way));
  } else if (!token.empty()) {
    context_.AddMetadata("authorization", absl::StrCat("Bearer ", token));
  }
}

absl::Status Client::Connection::Ended(const grpc::Status& status,
                                       const CallOptions& call) {
  if (call.cancellation != nullptr && call.cancellation->cancelled()) {
    return absl::CancelledError("the call was cancelled");
  }
  return FromGrpcStatus(status);
}

bool Client::Connection::MayRepeat(int attempt, const grpc::Status& status,
                                   absl::Time until, const CallOptions& call,
                                   bool unavailable_too) const {
  static thread_local std::minstd_rand random(std::random_device{}());
  const bool refused =
      status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED ||
      (unavailable_too && status.error_code() == grpc::StatusCode::UNAVAILABLE);
  if (!refused || attempt >= options.max_attempts) return false;
  const absl::Duration wait =
      RetryDelay(status) *
      std::uniform_real_distribution<double>(1, 1.5)(random);
  if (wait == absl::ZeroDuration() || absl::Now() + wait >= until) return false;
  if (call.cancellation != nullptr) return call.cancellation->SleepFor(wait);
  absl::SleepFor(wait);
  return true;
}

}  // namespace zeroshot::client
