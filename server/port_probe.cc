#include "server/port_probe.h"

#include <netdb.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

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

// Waits for one of `events` on the socket. False: none came.
bool WaitFor(int fd, short events, absl::Duration patience) {
  pollfd wait{fd, events, 0};
  return poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(patience))) >
         0;
}

bool Answers(int fd, const addrinfo& to, const std::string& greeting,
             absl::Duration patience) {
  if (connect(fd, to.ai_addr, to.ai_addrlen) != 0) {
    int error = errno;
    socklen_t size = sizeof(error);
    if (error != EINPROGRESS || !WaitFor(fd, POLLOUT, patience)) return false;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return false;
  }
  send(fd, greeting.data(), greeting.size(), MSG_NOSIGNAL);
  // To be hung up on is an answer too.
  return WaitFor(fd, POLLIN, patience);
}

}  // namespace

bool IsServed(const std::string& listen, bool tls, absl::Duration patience) {
  const size_t colon = listen.rfind(':');
  absl::string_view host = absl::string_view(listen).substr(0, colon);
  if (absl::ConsumePrefix(&host, "[")) absl::ConsumeSuffix(&host, "]");
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(std::string(host).c_str(), listen.c_str() + colon + 1, &hints,
                  &found) != 0) {
    return true;
  }
  bool served = true;
  const int fd =
      socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0) {
    served =
        Answers(fd, *found, tls ? TlsGreeting() : Http2Greeting(), patience);
    close(fd);
  }
  freeaddrinfo(found);
  return served;
}

}  // namespace zeroshot::server
