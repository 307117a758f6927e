// HOST:PORT, as flags and URLs have it: taken apart and put together in one
// place.
#ifndef ZEROSHOT_BASE_HOST_PORT_H_
#define ZEROSHOT_BASE_HOST_PORT_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace base {

struct HostPort {
  std::string host;  // without brackets
  int port = 0;      // 0 to 65535
};

// "HOST:PORT" or "[IPV6]:PORT". Nothing if it is anything else: no or an empty
// host, no port or one over 65535, an IPv6 address without brackets.
std::optional<HostPort> ParseHostPort(absl::string_view text);

// The same with a port that may be missing: then it is `default_port`.
std::optional<HostPort> ParseHostPort(absl::string_view text, int default_port);

// "HOST:PORT" again, with brackets around an IPv6 address.
std::string HostPortText(const HostPort& address);

// Whether the host is reached from this machine only: "localhost", an address
// of 127.0.0.0/8 or ::1. A name that merely looks like one is not.
bool IsLoopback(absl::string_view host);

// Whether the host means every address of this machine: 0.0.0.0 or ::.
bool IsWildcard(absl::string_view host);

}  // namespace base

#endif  // ZEROSHOT_BASE_HOST_PORT_H_
