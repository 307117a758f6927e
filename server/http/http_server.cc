#include "server/http/http_server.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error_info.h"
#include "base/monotonic.h"
#include "base/mutex.h"
#include "server/credentials.h"
#include "server/http/connection.h"
#include "server/listening_socket.h"

namespace zeroshot::server::http {
namespace {

namespace asio = boost::asio;
using Error = boost::system::error_code;

// After the system gave no socket for a connection that waits.
constexpr auto kAcceptPause = std::chrono::milliseconds(100);
// A body of which nothing came for this long makes room for others'.
constexpr int64_t kStalled = 1'000'000'000;

// One thread and the connections that it serves.
struct Loop {
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{
      io.get_executor()};
  std::thread thread;
};

int ThreadsOf(const HttpServer::Options& options) {
  if (options.threads > 0) return options.threads;
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()) / 4,
                    2, 8);
}

// Of HTTP's versions only 1.1 is spoken.
int ChooseProtocol(SSL*, const unsigned char** out, unsigned char* out_size,
                   const unsigned char* in, unsigned int in_size, void*) {
  static const unsigned char kHttp11[] = {8,   'h', 't', 't', 'p',
                                          '/', '1', '.', '1'};
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kHttp11, sizeof(kHttp11), in,
                            in_size) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

absl::StatusOr<std::shared_ptr<TlsContext>> MakeTls(
    const SecurityOptions& security) {
  if (security.tls_cert.empty()) return std::shared_ptr<TlsContext>();
  const absl::StatusOr<Certificate> good = CheckCertificate(security);
  if (!good.ok()) return good.status();
  const auto tls = std::make_shared<TlsContext>(TlsContext::tls_server);
  Error error;
  tls->set_options(TlsContext::default_workarounds | TlsContext::no_sslv2 |
                       TlsContext::no_sslv3 | TlsContext::no_tlsv1 |
                       TlsContext::no_tlsv1_1,
                   error);
  tls->use_certificate_chain_file(security.tls_cert, error);
  if (!error) {
    tls->use_private_key_file(security.tls_key, TlsContext::pem, error);
  }
  if (!error && !security.tls_client_ca.empty()) {
    tls->load_verify_file(security.tls_client_ca, error);
    tls->set_verify_mode(
        asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert, error);
    SSL_CTX_set_client_CA_list(
        tls->native_handle(),
        SSL_load_client_CA_file(security.tls_client_ca.c_str()));
  }
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the files of --tls_cert, --tls_key and --tls_client_ca do not fit: ",
        error.message()));
  }
  SSL_CTX* const context = tls->native_handle();
  static const unsigned char kSessions[] = "zeroshot";
  SSL_CTX_set_session_id_context(context, kSessions, sizeof(kSessions) - 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(context, &ChooseProtocol, nullptr);
  return tls;
}

// As gRPC writes a peer. An IPv4 address that came over IPv6 is one.
std::pair<std::string, std::string> NamesOf(const Tcp::endpoint& end) {
  asio::ip::address address = end.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  const std::string host = address.to_string();
  if (address.is_v4())
    return {host, absl::StrCat("ipv4:", host, ":", end.port())};
  return {host, absl::StrCat("ipv6:%5B", host, "%5D:", end.port())};
}

class Server final : public HttpServer, public ConnectionHost {
 public:
  Server(const Options& options, Handler* handler)
      : options_(options), handler_(handler) {}

  ~Server() override { Stop(absl::InfinitePast(), absl::ZeroDuration()); }

  absl::Status Open() {
    if (absl::Status read = ReloadCertificate(); !read.ok()) return read;
    const int listener = OpenListeningSocket(options_.listen);
    if (listener < 0) {
      return absl::UnavailableError(absl::StrCat(
          "cannot listen on --http_listen=", options_.listen,
          ": the port is in use, or the address is not one of this machine's; "
          "an empty --http_listen= turns HTTP off"));
    }
    port_ = PortOf(listener);
    for (int i = 0; i < ThreadsOf(options_); ++i) {
      loops_.push_back(std::make_unique<Loop>());
    }
    sockaddr_storage own{};
    socklen_t size = sizeof(own);
    getsockname(listener, reinterpret_cast<sockaddr*>(&own), &size);
    acceptor_ = std::make_unique<Tcp::acceptor>(
        loops_[0]->io, own.ss_family == AF_INET6 ? Tcp::v6() : Tcp::v4(),
        listener);
    pause_ = std::make_unique<asio::steady_timer>(loops_[0]->io);
    Accept();
    for (const auto& loop : loops_) {
      loop->thread = std::thread([io = &loop->io] { io->run(); });
    }
    return absl::OkStatus();
  }

  int port() const override { return port_; }

  absl::Status ReloadCertificate() override {
    auto tls = MakeTls(options_.security);
    if (!tls.ok()) return tls.status();
    base::MutexLock lock(&mu_);
    tls_ = *std::move(tls);
    return absl::OkStatus();
  }

  void Drain() override { draining_ = true; }

  void Stop(absl::Time answered, absl::Duration flush) override {
    draining_ = true;
    if (loops_.empty() || !loops_[0]->thread.joinable()) return;
    asio::post(loops_[0]->io, [this] {
      stopped_ = true;
      Error ignored;
      acceptor_->close(ignored);
      pause_->cancel(ignored);
    });
    WaitWhileAny(answered, [](const Connection& connection) {
      return connection.owes_answer();
    });
    WaitWhileAny(base::MonotonicNow() + flush,
                 [](const Connection& connection) {
                   return connection.idle_since() == 0;
                 });
    for (const auto& connection : All()) {
      connection->Post([connection] { connection->Close(); });
    }
    for (const auto& loop : loops_) {
      asio::post(loop->io, [loop = loop.get()] { loop->io.stop(); });
    }
    for (const auto& loop : loops_) loop->thread.join();
  }

  int connections() const override {
    base::MutexLock lock(&mu_);
    return static_cast<int>(connections_.size());
  }

  // --- ConnectionHost ---

  const Options& options() const override { return options_; }
  Handler& handler() const override { return *handler_; }
  bool draining() const override { return draining_; }

  bool TakeMemory(int64_t bytes) override {
    if (held_.fetch_add(bytes) + bytes <= options_.body_memory) return true;
    held_.fetch_sub(bytes);
    EndStalled();
    return false;
  }

  void GiveMemory(int64_t bytes) override { held_.fetch_sub(bytes); }

  void Closed(Connection* connection) override {
    base::MutexLock lock(&mu_);
    connections_.erase(connection);
  }

 private:
  using Connections = std::vector<std::shared_ptr<Connection>>;

  Connections All() const {
    Connections all;
    base::MutexLock lock(&mu_);
    for (const auto& [key, weak] : connections_) {
      if (auto connection = weak.lock()) all.push_back(std::move(connection));
    }
    return all;
  }

  template <typename Predicate>
  void WaitWhileAny(absl::Time end, Predicate predicate) const {
    const auto any = [&] {
      const Connections all = All();
      return std::any_of(all.begin(), all.end(), [&](const auto& connection) {
        return predicate(*connection);
      });
    };
    while (base::MonotonicNow() < end && any()) {
      absl::SleepFor(absl::Milliseconds(5));
    }
  }

  // Ends the request that holds most, of those whose body does not go on, so
  // that the next one finds room.
  void EndStalled() {
    const int64_t now =
        std::chrono::nanoseconds(Clock::now().time_since_epoch()).count();
    std::shared_ptr<Connection> most;
    for (auto& connection : All()) {
      const int64_t since = connection->waits_since();
      if (since == 0 || now - since < kStalled) continue;
      if (most == nullptr || connection->held() > most->held()) {
        most = std::move(connection);
      }
    }
    if (most == nullptr) return;
    most->Post([most] {
      most->Refuse(base::WithReason(
          absl::DeadlineExceededError(
              "the bodies of all requests together take too much memory, and "
              "this one's did not go on for a second"),
          base::kClientTooSlow));
    });
  }

  // Whether a place has become free: the one of the longest idle connection of
  // the peer that has most.
  bool CloseIdle() {
    const Connections all = All();
    std::map<absl::string_view, int> of_peer;
    int most = 0;
    for (const auto& connection : all) {
      if (connection->idle_since() == 0) continue;
      most = std::max(most, ++of_peer[connection->address()]);
    }
    std::shared_ptr<Connection> oldest;
    for (const auto& connection : all) {
      if (connection->idle_since() == 0 ||
          of_peer[connection->address()] < most) {
        continue;
      }
      if (oldest == nullptr ||
          connection->idle_since() < oldest->idle_since()) {
        oldest = connection;
      }
    }
    if (oldest == nullptr) return false;
    oldest->Post([oldest] {
      if (oldest->idle_since() != 0) oldest->Close();
    });
    return true;
  }

  void Accept() {
    Loop& loop = *loops_[next_++ % loops_.size()];
    acceptor_->async_accept(loop.io,
                            [this](const Error& error, Tcp::socket socket) {
                              if (stopped_) return;
                              if (error == asio::error::operation_aborted)
                                return;
                              if (error) {
                                // No descriptor, say: one of ours makes room,
                                // and a pause keeps a loop that finds none from
                                // spinning.
                                if (error != asio::error::connection_aborted)
                                  CloseIdle();
                                pause_->expires_after(kAcceptPause);
                                pause_->async_wait([this](const Error& why) {
                                  if (!why && !stopped_) Accept();
                                });
                                return;
                              }
                              Add(std::move(socket));
                              Accept();
                            });
  }

  void Add(Tcp::socket socket) {
    Error error;
    const Tcp::endpoint end = socket.remote_endpoint(error);
    if (error) return;
    if (static_cast<size_t>(connections()) >= options_.max_connections &&
        !CloseIdle()) {
      return;
    }
    auto [address, peer] = NamesOf(end);
    std::shared_ptr<Connection> connection;
    {
      base::MutexLock lock(&mu_);
      connection = std::make_shared<Connection>(
          this, std::move(socket), tls_, std::move(address), std::move(peer));
      connections_.emplace(connection.get(), connection);
    }
    connection->Post([connection] { connection->Start(); });
  }

  const Options options_;
  Handler* const handler_;
  int port_ = 0;
  std::atomic<bool> draining_{false};
  std::atomic<int64_t> held_{0};
  mutable base::Mutex mu_;
  std::shared_ptr<TlsContext> tls_ ABSL_GUARDED_BY(mu_);
  std::unordered_map<Connection*, std::weak_ptr<Connection>> connections_
      ABSL_GUARDED_BY(mu_);
  // Of the first loop's thread.
  bool stopped_ = false;
  size_t next_ = 0;
  // What is pending in them refers to the above.
  std::vector<std::unique_ptr<Loop>> loops_;
  std::unique_ptr<Tcp::acceptor> acceptor_;
  std::unique_ptr<asio::steady_timer> pause_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    const Options& options, Handler* handler) {
  auto server = std::make_unique<Server>(options, handler);
  if (absl::Status opened = server->Open(); !opened.ok()) return opened;
  return server;
}

}  // namespace zeroshot::server::http
