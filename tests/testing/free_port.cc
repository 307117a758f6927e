#include "tests/testing/free_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>

namespace testing {
namespace {

// Nothing well-known is above it.
constexpr int kFirst = 10'000;

// The first port that the system gives to connections.
int FirstOfConnections() {
  int first = 0;
  std::ifstream range("/proc/sys/net/ipv4/ip_local_port_range");
  return range >> first ? first : 32'768;
}

}  // namespace

int FreePort(const std::string& host) {
  std::random_device random;
  const int last = FirstOfConnections() - 1;
  for (int tries = 0; tries < 1'000 && last > kFirst; ++tries) {
    const int port = std::uniform_int_distribution<int>(kFirst, last)(random);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    inet_pton(AF_INET, host.c_str(), &address.sin_addr);
    const int bound =
        bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    close(fd);
    if (bound == 0) return port;
  }
  std::fprintf(stderr, "no port from %d to %d of %s is free\n", kFirst, last,
               host.c_str());
  std::abort();
}

}  // namespace testing
