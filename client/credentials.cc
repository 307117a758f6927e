#include "client/credentials.h"

#include <arpa/inet.h>

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace zeroshot::client {
namespace {

// RFC 6750, section 2.1.
constexpr char kTokenCharacters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=";

// HOST, HOST:PORT, [HOST] or [HOST]:PORT without the port.
absl::string_view HostOf(absl::string_view address) {
  if (absl::ConsumePrefix(&address, "[")) {
    return address.substr(0, address.find(']'));
  }
  const bool has_port = std::count(address.begin(), address.end(), ':') == 1;
  return has_port ? address.substr(0, address.find(':')) : address;
}

bool IsLoopbackHost(absl::string_view host) {
  const std::string text(host);
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) {
    return ntohl(v4.s_addr) >> 24 == 127;
  }
  in6_addr v6{};
  if (inet_pton(AF_INET6, text.c_str(), &v6) == 1) {
    return IN6_IS_ADDR_LOOPBACK(&v6);
  }
  return absl::EqualsIgnoreCase(host, "localhost");
}

}  // namespace

bool IsLoopbackTarget(absl::string_view target) {
  if (absl::StartsWith(target, "unix:") ||
      absl::StartsWith(target, "unix-abstract:")) {
    return true;
  }
  if (absl::ConsumePrefix(&target, "dns:")) {
    // dns://AUTHORITY/NAME: whoever answers there says what the name means.
    if (absl::StartsWith(target, "//") && !absl::StartsWith(target, "///")) {
      return false;
    }
    absl::ConsumePrefix(&target, "//");
  } else if (!absl::ConsumePrefix(&target, "ipv4:")) {
    absl::ConsumePrefix(&target, "ipv6:");
  }
  absl::ConsumePrefix(&target, "/");
  const std::vector<absl::string_view> addresses = absl::StrSplit(target, ',');
  return std::all_of(addresses.begin(), addresses.end(), [](auto address) {
    return IsLoopbackHost(HostOf(address));
  });
}

TokenWay TokenWayTo(absl::string_view target, const ClientOptions& options) {
  if (options.credentials != nullptr) return TokenWay::kCallCredentials;
  return options.token_without_tls || IsLoopbackTarget(target)
             ? TokenWay::kMetadata
             : TokenWay::kRefused;
}

absl::Status CheckToken(absl::string_view token, TokenWay way,
                        absl::string_view target) {
  if (token.empty()) return absl::OkStatus();
  // gRPC ends the program over a header with any other character.
  if (token.find_first_not_of(kTokenCharacters) != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        "the token has characters other than A-Z a-z 0-9 - . _ ~ + / =");
  }
  if (way != TokenWay::kRefused) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the token would travel to ", target,
      " unencrypted; use TLS, or allow this with token_without_tls"));
}

absl::Status CheckEncrypts(
    const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  // gRPC's answer to credentials that do not encrypt is null.
  if (grpc::CompositeChannelCredentials(
          credentials, grpc::AccessTokenCredentials("any")) != nullptr) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "the credentials given do not encrypt, so the token cannot be sent "
      "with them; leave them out and set token_without_tls to send it in "
      "plain text");
}

}  // namespace zeroshot::client
