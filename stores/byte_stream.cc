#include "stores/byte_stream.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <future>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/monotonic.h"

namespace stores {
namespace {

absl::Status Broken(absl::string_view what, int error) {
  return absl::UnavailableError(
      absl::StrCat(what, ": ", std::generic_category().message(error)));
}

absl::Status TooLate() {
  return absl::DeadlineExceededError("it does not answer in time");
}

absl::Status TlsBroken(absl::string_view what) {
  char text[256] = "closed";
  if (const unsigned long error = ERR_get_error(); error != 0) {
    ERR_error_string_n(error, text, sizeof(text));
  }
  ERR_clear_error();
  return absl::UnavailableError(absl::StrCat(what, ": ", text));
}

class Plain : public ByteStream {
 public:
  explicit Plain(int fd) : ByteStream(fd) {}
  ~Plain() override { close(fd_); }

  // Waits until the connection stands.
  absl::Status Connected(absl::Time deadline) {
    absl::Status status = Await(Wants::kWriting, deadline);
    if (!status.ok()) return status;
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    return error == 0 ? absl::OkStatus() : Broken("cannot connect", error);
  }

 protected:
  absl::StatusOr<size_t> TrySend(absl::string_view bytes,
                                 Wants* wants) override {
    return Moved(send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
                 Wants::kWriting, wants);
  }

  absl::StatusOr<size_t> TryReceive(char* out, size_t room,
                                    Wants* wants) override {
    const ssize_t got = recv(fd_, out, room, 0);
    if (got == 0) return absl::UnavailableError("the connection was closed");
    return Moved(got, Wants::kReading, wants);
  }

 private:
  static absl::StatusOr<size_t> Moved(ssize_t count, Wants direction,
                                      Wants* wants) {
    if (count >= 0) return static_cast<size_t>(count);
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
      return Broken("the connection broke", errno);
    }
    *wants = direction;
    return size_t{0};
  }
};

class Tls : public ByteStream {
 public:
  Tls(int fd, std::unique_ptr<Plain> socket, const TlsTrust& trust)
      : ByteStream(fd),
        socket_(std::move(socket)),
        ssl_(SSL_new(trust.context())) {}
  ~Tls() override { SSL_free(ssl_); }

  absl::Status ShakeHands(const std::string& host, absl::Time deadline) {
    if (ssl_ == nullptr || SSL_set_fd(ssl_, fd_) != 1) {
      return TlsBroken("cannot begin TLS");
    }
    // The name, or else the address, that the certificate must be of.
    X509_VERIFY_PARAM* wanted = SSL_get0_param(ssl_);
    if (X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str()) != 1) {
      ERR_clear_error();
      SSL_set1_host(ssl_, host.c_str());
      SSL_set_tlsext_host_name(ssl_, host.c_str());
    }
    while (true) {
      Wants wants = Wants::kNothing;
      const absl::StatusOr<size_t> done =
          Moved(SSL_connect(ssl_), "the TLS handshake failed", &wants);
      if (!done.ok()) return done.status();
      if (wants == Wants::kNothing) return absl::OkStatus();
      absl::Status status = Await(wants, deadline);
      if (!status.ok()) return status;
    }
  }

 protected:
  absl::StatusOr<size_t> TrySend(absl::string_view bytes,
                                 Wants* wants) override {
    constexpr size_t kMost = 1 << 30;
    return Moved(SSL_write(ssl_, bytes.data(),
                           static_cast<int>(std::min(bytes.size(), kMost))),
                 "the TLS connection broke", wants);
  }

  absl::StatusOr<size_t> TryReceive(char* out, size_t room,
                                    Wants* wants) override {
    constexpr size_t kMost = 1 << 30;
    return Moved(SSL_read(ssl_, out, static_cast<int>(std::min(room, kMost))),
                 "the TLS connection broke", wants);
  }

 private:
  absl::StatusOr<size_t> Moved(int result, absl::string_view what,
                               Wants* wants) {
    if (result > 0) return static_cast<size_t>(result);
    switch (SSL_get_error(ssl_, result)) {
      case SSL_ERROR_WANT_READ:
        *wants = Wants::kReading;
        return size_t{0};
      case SSL_ERROR_WANT_WRITE:
        *wants = Wants::kWriting;
        return size_t{0};
      default:
        return TlsBroken(what);
    }
  }

  const std::unique_ptr<Plain> socket_;
  SSL* const ssl_;
};

using Addresses = std::shared_ptr<addrinfo>;

// The resolver knows no deadline: it is left to itself when ours has passed.
absl::StatusOr<Addresses> Resolve(const std::string& host, int port,
                                  absl::Time deadline) {
  std::promise<std::pair<int, Addresses>> promise;
  std::future<std::pair<int, Addresses>> answer = promise.get_future();
  auto ask = [host, port](int flags) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags | AI_NUMERICSERV;
    addrinfo* list = nullptr;
    const int error =
        getaddrinfo(host.c_str(), absl::StrCat(port).c_str(), &hints, &list);
    return std::pair(error, Addresses(list, [](addrinfo* a) {
                       if (a != nullptr) freeaddrinfo(a);
                     }));
  };
  std::pair<int, Addresses> found = ask(AI_NUMERICHOST);
  if (found.first == EAI_NONAME) {
    try {
      std::thread([ask, promise = std::move(promise)]() mutable {
        promise.set_value(ask(0));
      }).detach();
    } catch (const std::system_error&) {
      return absl::UnavailableError("there is no thread to resolve its name");
    }
    if (answer.wait_for(absl::ToChronoNanoseconds(
            deadline - base::MonotonicNow())) != std::future_status::ready) {
      return absl::DeadlineExceededError("its name is not resolved in time");
    }
    found = answer.get();
  }
  if (found.first != 0) {
    return absl::UnavailableError(absl::StrCat("its name cannot be resolved: ",
                                               gai_strerror(found.first)));
  }
  return found.second;
}

absl::StatusOr<std::unique_ptr<Plain>> Connect(const addrinfo& address, int* fd,
                                               absl::Time deadline) {
  *fd = socket(address.ai_family,
               address.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (*fd < 0) return Broken("no socket", errno);
  auto stream = std::make_unique<Plain>(*fd);
  const int on = 1;
  setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (connect(*fd, address.ai_addr, address.ai_addrlen) != 0 &&
      errno != EINPROGRESS) {
    return Broken("cannot connect", errno);
  }
  absl::Status status = stream->Connected(deadline);
  if (!status.ok()) return status;
  return stream;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TlsTrust>> TlsTrust::Load(
    const std::string& ca_file) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  if (context == nullptr) return TlsBroken("cannot begin TLS");
  std::unique_ptr<TlsTrust> trust(new TlsTrust(context));
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  // A write that must wait is tried again with what is left of the bytes.
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  const int loaded = ca_file.empty() ? SSL_CTX_set_default_verify_paths(context)
                                     : SSL_CTX_load_verify_locations(
                                           context, ca_file.c_str(), nullptr);
  if (loaded != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        absl::StrCat("'", ca_file, "' has no certificates (PEM) to trust"));
  }
  return trust;
}

TlsTrust::~TlsTrust() { SSL_CTX_free(context_); }

absl::StatusOr<std::unique_ptr<ByteStream>> ByteStream::Dial(
    const std::string& host, int port, const TlsTrust* trust,
    absl::Time deadline) {
  absl::StatusOr<Addresses> addresses = Resolve(host, port, deadline);
  if (!addresses.ok()) return addresses.status();
  absl::Status failure = absl::UnavailableError("its name has no address");
  for (const addrinfo* a = addresses->get(); a != nullptr; a = a->ai_next) {
    int fd = -1;
    absl::StatusOr<std::unique_ptr<Plain>> socket = Connect(*a, &fd, deadline);
    if (!socket.ok()) {
      failure = socket.status();
      continue;
    }
    if (trust == nullptr)
      return std::unique_ptr<ByteStream>(*std::move(socket));
    auto tls = std::make_unique<Tls>(fd, *std::move(socket), *trust);
    absl::Status status = tls->ShakeHands(host, deadline);
    if (!status.ok()) return status;
    return std::unique_ptr<ByteStream>(std::move(tls));
  }
  return failure;
}

absl::Status ByteStream::Send(absl::string_view bytes,
                              absl::Duration patience) {
  while (!bytes.empty()) {
    Wants wants = Wants::kNothing;
    const absl::StatusOr<size_t> sent = TrySend(bytes, &wants);
    if (!sent.ok()) return sent.status();
    bytes.remove_prefix(*sent);
    if (wants == Wants::kNothing) continue;
    absl::Status status = Await(wants, base::MonotonicNow() + patience);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> ByteStream::Receive(char* out, size_t room,
                                           absl::Duration patience) {
  int underway = Underway();
  while (true) {
    Wants wants = Wants::kNothing;
    const absl::StatusOr<size_t> got = TryReceive(out, room, &wants);
    if (!got.ok() || *got > 0) return got;
    absl::Status status = Await(wants, base::MonotonicNow() + patience);
    if (status.ok()) continue;
    const int left = absl::IsDeadlineExceeded(status) ? Underway() : underway;
    if (left >= underway) return status;
    underway = left;
  }
}

int ByteStream::Underway() const {
  int bytes = 0;
  return ioctl(fd_, TIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

absl::Status ByteStream::Await(Wants wants, absl::Time deadline) const {
  pollfd waiting{};
  waiting.fd = fd_;
  waiting.events = wants == Wants::kReading ? POLLIN : POLLOUT;
  while (true) {
    const int64_t left = absl::ToInt64Milliseconds(
        absl::Ceil(deadline - base::MonotonicNow(), absl::Milliseconds(1)));
    if (left <= 0) return TooLate();
    const int ready =
        poll(&waiting, 1, static_cast<int>(std::min<int64_t>(left, 60'000)));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return Broken("cannot wait", errno);
  }
}

}  // namespace stores
