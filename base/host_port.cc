#include "base/host_port.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace base {
namespace {

// Digits alone: no sign, no blank.
bool ParsePort(absl::string_view text, int* port) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(text, port) && *port <= 65535;
}

// The address that `host` is; the family is AF_UNSPEC if it is a name. No name
// is looked up.
sockaddr_storage AddressOf(absl::string_view host) {
  sockaddr_storage address{};
  address.ss_family = AF_UNSPEC;
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(std::string(host).c_str(), nullptr, &hints, &found) != 0) {
    return address;
  }
  std::memcpy(&address, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  return address;
}

in6_addr Ipv6Of(const sockaddr_storage& address) {
  return reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
}

uint32_t Ipv4Of(const sockaddr_storage& address) {
  return ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr);
}

}  // namespace

std::optional<HostPort> ParseHostPort(absl::string_view text) {
  return ParseHostPort(text, -1);
}

std::optional<HostPort> ParseHostPort(absl::string_view text,
                                      int default_port) {
  HostPort out{"", default_port};
  absl::string_view port;
  if (absl::ConsumePrefix(&text, "[")) {
    const size_t end = text.find(']');
    if (end == text.npos) return std::nullopt;
    out.host = std::string(text.substr(0, end));
    port = text.substr(end + 1);
  } else {
    const size_t end = std::min(text.find(':'), text.size());
    out.host = std::string(text.substr(0, end));
    port = text.substr(end);
  }
  if (out.host.empty()) return std::nullopt;
  if (port.empty() && default_port >= 0) return out;
  if (!absl::ConsumePrefix(&port, ":") || !ParsePort(port, &out.port)) {
    return std::nullopt;
  }
  return out;
}

std::string HostPortText(const HostPort& address) {
  return absl::StrContains(address.host, ":")
             ? absl::StrCat("[", address.host, "]:", address.port)
             : absl::StrCat(address.host, ":", address.port);
}

bool IsLoopback(absl::string_view host) {
  if (absl::EqualsIgnoreCase(host, "localhost")) return true;
  const sockaddr_storage address = AddressOf(host);
  if (address.ss_family == AF_INET) return Ipv4Of(address) >> 24 == 127;
  if (address.ss_family != AF_INET6) return false;
  const in6_addr ipv6 = Ipv6Of(address);
  return IN6_IS_ADDR_LOOPBACK(&ipv6) ||
         (IN6_IS_ADDR_V4MAPPED(&ipv6) && ipv6.s6_addr[12] == 127);
}

bool IsWildcard(absl::string_view host) {
  const sockaddr_storage address = AddressOf(host);
  if (address.ss_family == AF_INET) return Ipv4Of(address) == INADDR_ANY;
  if (address.ss_family != AF_INET6) return false;
  const in6_addr ipv6 = Ipv6Of(address);
  constexpr uint8_t kAnyIpv4[16] = {0, 0, 0,    0,    0, 0, 0, 0,
                                    0, 0, 0xff, 0xff, 0, 0, 0, 0};
  return IN6_IS_ADDR_UNSPECIFIED(&ipv6) ||
         std::memcmp(ipv6.s6_addr, kAnyIpv4, sizeof(kAnyIpv4)) == 0;
}

}  // namespace base
