// HTTP/1.1 on a port: connections, TLS, the reading of requests and the writing
// of answers. What the answers are is a Handler's.
//
// A few threads serve all connections and wait for none of them, so that a
// thousand idle ones cost their memory only. What a peer can take is bounded:
// connections, bytes of headers, time for headers, body and answer, and the
// memory of all bodies together.
#ifndef ZEROSHOT_SERVER_HTTP_HTTP_SERVER_H_
#define ZEROSHOT_SERVER_HTTP_HTTP_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/http/exchange.h"
#include "server/options.h"

namespace zeroshot::server::http {

// Thread rule: connections are served by threads of its own; the methods are
// called by one thread at a time.
class HttpServer {
 public:
  // Of a request's first line and headers.
  static constexpr size_t kMaxHeadBytes = 16 << 10;

  struct Options {
    std::string listen;  // HOST:PORT; port 0: any free one
    SecurityOptions security;
    int threads = 0;                 // 0: by the number of cores
    int64_t body_memory = 64 << 20;  // of all bodies
    // One more closes the connection of the peer with most of them that has
    // been idle for longest, or is closed itself where none is idle.
    size_t max_connections = 4096;
    absl::Duration handshake_time = absl::Seconds(20);
    absl::Duration head_time = absl::Seconds(10);
    absl::Duration idle_time = absl::Seconds(120);  // between two requests
    // Without a byte of a body, or one taken of an answer; and what both must
    // move in the mean after that, in bytes per second.
    absl::Duration patience = absl::Seconds(30);
    int64_t min_rate = 64 << 10;
  };

  // Borrows the handler. Unavailable: the address is in use or not of this
  // machine. InvalidArgument: a file of the certificate is not good.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(
      const Options& options, Handler* handler);

  // Closes every connection.
  virtual ~HttpServer() = default;

  virtual int port() const = 0;

  // New connections get what the certificate's files hold now. InvalidArgument:
  // they are not good; what was read before stays.
  virtual absl::Status ReloadCertificate() = 0;

  // From now on connections are closed after their next answer.
  virtual void Drain() = 0;

  // Takes no more connections. Waits until every request that was read whole
  // has its answer, at most until `answered`, and then for clients that take
  // theirs, at most for `flush`.
  virtual void Stop(absl::Time answered, absl::Duration flush) = 0;

  virtual int connections() const = 0;
};

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_HTTP_SERVER_H_
