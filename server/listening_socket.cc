#include "server/listening_socket.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/host_port.h"

namespace zeroshot::server {
namespace {

constexpr int kBacklog = 511;

// A socket that listens on one of the host's addresses, or -1.
int ListenAt(const addrinfo& address) {
  const int fd =
      socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (address.ai_family == AF_INET6) {
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  }
  if (bind(fd, address.ai_addr, address.ai_addrlen) == 0 &&
      listen(fd, kBacklog) == 0) {
    return fd;
  }
  close(fd);
  return -1;
}

int ListenAt(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), absl::StrCat(port).c_str(), &hints, &found) !=
      0) {
    return -1;
  }
  int listener = -1;
  for (const addrinfo* a = found; a != nullptr && listener < 0;
       a = a->ai_next) {
    listener = ListenAt(*a);
  }
  freeaddrinfo(found);
  return listener;
}

}  // namespace

int OpenListeningSocket(const std::string& listen) {
  const auto address = base::ParseHostPort(listen);
  if (!address.has_value()) return -1;
  const int listener = ListenAt(address->host, address->port);
  if (listener >= 0 || !base::IsWildcard(address->host)) return listener;
  return ListenAt("0.0.0.0", address->port);
}

int PortOf(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  char port[8] = "0";
  getnameinfo(reinterpret_cast<sockaddr*>(&address), size, nullptr, 0, port,
              sizeof(port), NI_NUMERICSERV);
  return std::atoi(port);
}

std::string HostOf(const sockaddr_storage& address, socklen_t size) {
  char host[NI_MAXHOST] = "";
  getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host,
              sizeof(host), nullptr, 0, NI_NUMERICHOST);
  return host;
}

}  // namespace zeroshot::server
