// Between the connections (server/http/http_server.h), which know HTTP and
// sockets, and what answers requests (server/http/api.h), which knows neither.
#ifndef ZEROSHOT_SERVER_HTTP_EXCHANGE_H_
#define ZEROSHOT_SERVER_HTTP_EXCHANGE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/http/message.h"

namespace zeroshot::server::http {

// The way back to the client of one request. What is said after the client has
// gone, or after the answer, is ignored.
//
// Thread rule: Post from any thread, all else on the connection's own.
class Responder {
 public:
  virtual ~Responder() = default;

  // Runs `task` on the connection's thread.
  virtual void Post(std::function<void()> task) = 0;

  // The whole answer.
  virtual void Answer(Response response) = 0;

  // An answer in pieces: its head (without a body), the pieces, its end. `size`
  // of all pieces; -1: not known. `taken`: when the piece has left, so that
  // there is room for the next one.
  virtual void Begin(Response head, int64_t size) = 0;
  virtual void Write(std::string bytes, std::function<void()> taken) = 0;
  virtual void End() = 0;
  // Instead of End: the client sees that the answer was cut off.
  virtual void Abort() = 0;

  // Goes on with the body after Exchange::full().
  virtual void Resume() = 0;
};

// One request, from its headers to its answer. Destroyed when it is over.
//
// Thread rule: called on the connection's thread.
class Exchange {
 public:
  virtual ~Exchange() = default;

  // The largest body that is taken, and how many bytes of memory each of its
  // bytes may take.
  virtual int64_t max_body_bytes() const { return 0; }
  virtual int memory_factor() const { return 1; }

  // The body's next bytes. An error is the answer.
  virtual absl::Status Take(absl::string_view) { return absl::OkStatus(); }
  // True: no more of the body is wanted until Responder::Resume.
  virtual bool full() const { return false; }
  // The body has ended. An error is the answer.
  virtual absl::Status End() { return absl::OkStatus(); }

  // No answer is wanted any more: the client has gone, or was refused for the
  // reason given, which it has been told.
  virtual void Stop(const absl::Status& why) { (void)why; }
};

// Thread rule: called on any connection's thread.
class Handler {
 public:
  virtual ~Handler() = default;

  // A request's headers have been read. Null: it has been answered, its body is
  // not wanted.
  virtual std::shared_ptr<Exchange> Begin(
      const Request& request, const std::shared_ptr<Responder>& responder) = 0;

  // A request that was refused before there was an exchange.
  virtual void Refused(const Request& request, const absl::Status& why) = 0;

  // Headers that every answer to the request has.
  virtual void AddHeaders(const Request& request, Response* response) = 0;
};

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_EXCHANGE_H_
