#include "tests/testing/slow_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace testing {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

// Little is on its way inside of the system, as on a link without buffers.
void KeepBuffersSmall(int fd) {
  const int bytes = 64 << 10, on = 1;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

}  // namespace

SlowProxy::SlowProxy(int port, int64_t bytes_per_second)
    : target_(port), rate_(bytes_per_second) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  KeepBuffersSmall(listener_);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener_, 128) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) !=
          0) {
    std::fputs("the slow proxy cannot listen\n", stderr);
    std::abort();
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

SlowProxy::~SlowProxy() {
  ending_ = true;
  shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  {
    std::lock_guard<std::mutex> lock(mu_);
    for (const int fd : sockets_) shutdown(fd, SHUT_RDWR);
  }
  for (std::thread& pump : pumps_) pump.join();
  for (const int fd : sockets_) close(fd);
  close(listener_);
}

void SlowProxy::Accept() {
  while (true) {
    const int near = accept(listener_, nullptr, nullptr);
    if (near < 0) return;
    const int far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    KeepBuffersSmall(near);
    KeepBuffersSmall(far);
    const sockaddr_in address = Loopback(target_);
    const bool there = connect(far, reinterpret_cast<const sockaddr*>(&address),
                               sizeof(address)) == 0;
    std::lock_guard<std::mutex> lock(mu_);
    sockets_.push_back(near);
    sockets_.push_back(far);
    if (!there || ending_) {
      shutdown(near, SHUT_RDWR);
      continue;
    }
    pumps_.emplace_back(
        [this, near, far] { Pump(near, far, &there_, &to_server_); });
    pumps_.emplace_back(
        [this, near, far] { Pump(far, near, &back_, &from_server_); });
  }
}

void SlowProxy::Wait(Lane* lane, int64_t bytes) {
  const int64_t rate = rate_;
  if (rate <= 0) return;
  std::chrono::steady_clock::time_point until;
  {
    std::lock_guard<std::mutex> lock(lane->mu);
    lane->free_at = std::max(lane->free_at, std::chrono::steady_clock::now()) +
                    std::chrono::nanoseconds(bytes * 1'000'000'000 / rate);
    until = lane->free_at;
  }
  // In steps, so that the end need not wait for a link of bytes per second.
  while (!ending_ && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(
        until - std::chrono::steady_clock::now(),
        std::chrono::milliseconds(20)));
  }
}

void SlowProxy::Pump(int from, int to, Lane* lane,
                     std::atomic<int64_t>* moved) {
  char buffer[16 << 10];
  while (true) {
    const int64_t rate = rate_;
    // Not much more than a tick's worth at once.
    const size_t room = rate > 0
                            ? std::clamp<int64_t>(rate / 50, 1, sizeof(buffer))
                            : sizeof(buffer);
    const ssize_t got = recv(from, buffer, room, 0);
    if (got <= 0) break;
    Wait(lane, got);
    for (ssize_t sent = 0; sent < got;) {
      const ssize_t count = send(to, buffer + sent, got - sent, MSG_NOSIGNAL);
      if (count <= 0) break;
      sent += count;
    }
    *moved += got;
  }
  shutdown(to, SHUT_RDWR);
  shutdown(from, SHUT_RDWR);
}

}  // namespace testing
