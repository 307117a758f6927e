#include "server/port_probe.h"

#include <grpc/support/time.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <netdb.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/host_port.h"
#include "base/monotonic.h"

namespace zeroshot::server {
namespace {

// How an HTTP/2 client begins: the preface and an empty SETTINGS frame
// (RFC 9113, 3.4).
std::string Http2Greeting() {
  constexpr char kSettings[] = {0, 0, 0, 4, 0, 0, 0, 0, 0};
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" +
         std::string(kSettings, sizeof(kSettings));
}

// How a TLS client begins. (To hang up after the answer is no error worth a
// line in gRPC's log; to say anything else would be.)
std::string TlsGreeting() {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(
      SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
  const std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context.get()),
                                                      &SSL_free);
  BIO* const sent = BIO_new(BIO_s_mem());
  SSL_set_bio(tls.get(), BIO_new(BIO_s_mem()), sent);  // both are its now
  SSL_connect(tls.get());  // goes as far as the first answer
  char* bytes = nullptr;
  const auto size = BIO_get_mem_data(sent, &bytes);
  return {bytes, static_cast<size_t>(size)};
}

// One connection on its way.
struct Dial {
  int fd = -1;
  bool connected = false;
};

// Nothing: refused at once, or there is no such kind of address here.
// `asked`: false if this process has no socket to ask with.
std::optional<Dial> Begin(const addrinfo& to, bool* asked) {
  const int fd =
      socket(to.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    *asked = errno == EAFNOSUPPORT;
    return std::nullopt;
  }
  if (connect(fd, to.ai_addr, to.ai_addrlen) == 0 || errno == EINPROGRESS) {
    return Dial{fd};
  }
  close(fd);
  return std::nullopt;
}

// Whether one of them answers before the deadline.
bool AnyAnswers(std::vector<Dial> dials, const std::string& greeting,
                absl::Time deadline) {
  const absl::Cleanup closing = [&dials] {
    for (const Dial& dial : dials) close(dial.fd);
  };
  while (!dials.empty()) {
    std::vector<pollfd> waits;
    for (const Dial& dial : dials) {
      waits.push_back(
          {dial.fd, static_cast<short>(dial.connected ? POLLIN : POLLOUT), 0});
    }
    const absl::Duration left = deadline - base::MonotonicNow();
    if (left <= absl::ZeroDuration()) return false;
    const auto ms = absl::ToInt64Milliseconds(left + absl::Milliseconds(1));
    poll(waits.data(), waits.size(),
         static_cast<int>(std::min<int64_t>(ms, 1000)));
    std::vector<Dial> still;
    for (size_t i = 0; i < dials.size(); ++i) {
      if (waits[i].revents == 0) {
        still.push_back(dials[i]);
        continue;
      }
      // To be hung up on is an answer too.
      if (dials[i].connected) return true;
      int error = 0;
      socklen_t size = sizeof(error);
      getsockopt(dials[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0) {
        close(dials[i].fd);
        continue;
      }
      send(dials[i].fd, greeting.data(), greeting.size(), MSG_NOSIGNAL);
      still.push_back({dials[i].fd, /*connected=*/true});
    }
    dials = std::move(still);
  }
  return false;
}

}  // namespace

bool IsServed(const std::string& listen, bool tls, absl::Duration patience) {
  const auto address = base::ParseHostPort(listen);
  if (!address.has_value()) return true;
  std::vector<std::string> hosts = {address->host};
  if (base::IsWildcard(address->host)) hosts = {"127.0.0.1", "::1"};
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  std::vector<Dial> dials;
  bool found_any = false, asked = true;
  for (const std::string& host : hosts) {
    addrinfo* found = nullptr;
    if (getaddrinfo(host.c_str(), absl::StrCat(address->port).c_str(), &hints,
                    &found) != 0) {
      continue;
    }
    found_any = true;
    for (const addrinfo* a = found; a != nullptr && asked; a = a->ai_next) {
      if (const auto dial = Begin(*a, &asked)) dials.push_back(*dial);
    }
    freeaddrinfo(found);
  }
  if (dials.empty() && (!found_any || !asked)) return true;
  return AnyAnswers(std::move(dials), tls ? TlsGreeting() : Http2Greeting(),
                    base::MonotonicNow() + patience) ||
         !asked;
}

bool HasThreads(const std::shared_ptr<grpc::Channel>& channel,
                absl::Duration patience) {
  // gRPC's sync server answers what it does not know on a thread as well:
  // Unimplemented, or ResourceExhausted if there is none.
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(gpr_time_add(
      gpr_now(GPR_CLOCK_MONOTONIC),
      gpr_time_from_millis(absl::ToInt64Milliseconds(patience), GPR_TIMESPAN)));
  grpc::CompletionQueue queue;
  const grpc::Slice nothing;
  const auto call =
      stub.PrepareUnaryCall(&context, "/zeroshot.internal.Probe/Ask",
                            grpc::ByteBuffer(&nothing, 1), &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  return status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED &&
         status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED;
}

}  // namespace zeroshot::server
