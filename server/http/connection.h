// One connection of an HttpServer: reads a request, hands it to the Handler,
// writes the answer, and again. Only http_server.cc and connection.cc include
// this header, because it includes Boost's.
#ifndef ZEROSHOT_SERVER_HTTP_CONNECTION_H_
#define ZEROSHOT_SERVER_HTTP_CONNECTION_H_

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/optional/optional.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/http/exchange.h"
#include "server/http/http_server.h"

namespace zeroshot::server::http {

using Tcp = boost::asio::ip::tcp;
using TlsContext = boost::asio::ssl::context;
using Clock = std::chrono::steady_clock;

// What a connection asks of the server that it belongs to. Thread rule: every
// method may be called from many threads at once.
class ConnectionHost {
 public:
  virtual ~ConnectionHost() = default;
  virtual const HttpServer::Options& options() const = 0;
  virtual Handler& handler() const = 0;
  virtual bool draining() const = 0;
  // Bytes of a body; false: there is no room.
  virtual bool TakeMemory(int64_t bytes) = 0;
  virtual void GiveMemory(int64_t bytes) = 0;
  virtual void Closed(class Connection* connection) = 0;
};

// Hands a body's bytes on as they are read.
struct PiecesBody {
  using value_type = std::function<void(absl::string_view)>;
  class reader {
   public:
    template <bool isRequest, class Fields>
    reader(boost::beast::http::header<isRequest, Fields>&, value_type& take)
        : take_(take) {}
    void init(const boost::optional<uint64_t>&,
              boost::system::error_code& error) {
      error = {};
    }
    template <class Buffers>
    size_t put(const Buffers& buffers, boost::system::error_code& error) {
      error = {};
      size_t size = 0;
      for (auto it = boost::asio::buffer_sequence_begin(buffers);
           it != boost::asio::buffer_sequence_end(buffers); ++it) {
        const boost::asio::const_buffer bytes(*it);
        take_({static_cast<const char*>(bytes.data()), bytes.size()});
        size += bytes.size();
      }
      return size;
    }
    void finish(boost::system::error_code& error) { error = {}; }

   private:
    value_type& take_;
  };
};

// Thread rule: the thread of its io_context, but for what says otherwise.
class Connection final : public Responder,
                         public std::enable_shared_from_this<Connection> {
 public:
  // `tls` (may be null) is what new connections get now. Borrows the host.
  Connection(ConnectionHost* host, Tcp::socket socket,
             std::shared_ptr<TlsContext> tls, std::string address,
             std::string peer);
  ~Connection() override;

  void Start();
  void Close();
  // A request whose body is on its way ends with this error.
  void Refuse(const absl::Status& why);

  // From any thread.
  const std::string& address() const { return address_; }
  // When it became idle, which it is until a request's headers have been read;
  // 0: it is not.
  int64_t idle_since() const { return idle_since_; }
  // Whether a request was read whole and not all of its answer is there to be
  // sent.
  bool owes_answer() const { return owes_answer_; }
  // When the latest bytes of a body came; 0: none are waited for.
  int64_t waits_since() const { return waits_since_; }
  int64_t held() const { return held_; }
  void Post(std::function<void()> task) override;

  void Answer(Response response) override;
  void Begin(Response head, int64_t size) override;
  void Write(std::string bytes, std::function<void()> taken) override;
  void End() override;
  void Abort() override;
  void Resume() override;

 private:
  using Parser = boost::beast::http::request_parser<PiecesBody>;
  using Error = boost::system::error_code;
  enum class State { kHandshake, kHead, kBody, kAnswer, kLinger };

  struct Piece {
    std::string bytes;
    std::function<void()> taken;
  };

  void NextRequest();
  void Read();
  void OnRead(const Error& error, size_t size);
  // Takes what it can of `bytes`, and keeps the rest.
  void Process(absl::string_view bytes);
  // False: more bytes are needed.
  bool ReadHead(absl::string_view* bytes);
  bool ReadBody(absl::string_view* bytes);
  void OnHead();
  absl::Status CheckHead() const;
  void TakeBody(absl::string_view bytes);
  void BadRequest(const Error& error);
  void Gone(bool half);

  void BeginAnswer(Response head, int64_t size);
  std::string HeadOf(const Response& response, int64_t size);
  void Send(std::string bytes, std::function<void()> taken = nullptr);
  void WriteNext();
  void OnWritten(const Error& error, size_t size);
  void Finish();
  void Linger();

  void WaitFor(absl::Duration time);
  // For a transfer of so many bytes so far that began at `start`.
  void WaitForTransfer(Clock::time_point start, int64_t bytes);
  void Arm();
  void OnTimer();
  bool alive() const { return !closed_; }

  ConnectionHost* const host_;
  Tcp::socket socket_;
  const std::shared_ptr<TlsContext> tls_context_;
  std::unique_ptr<boost::asio::ssl::stream<Tcp::socket&>> tls_;
  const std::string address_;
  const std::string peer_;
  std::string certificate_;

  State state_ = State::kHandshake;
  bool closed_ = false;
  std::atomic<int64_t> idle_since_, waits_since_{0}, held_{0};
  std::atomic<bool> owes_answer_{false};

  bool reading_ = false;
  bool no_more_ = false;  // the client has ended its side
  std::string buffer_;    // what is being read into
  std::string ahead_;     // read, and not yet of use
  size_t drained_ = 0;

  std::unique_ptr<Parser> parser_;
  Request request_;
  std::shared_ptr<Exchange> exchange_;
  absl::Status body_status_;
  size_t head_bytes_ = 0;
  int64_t body_bytes_ = 0;
  bool began_ = false;      // a request's first byte is there
  bool body_read_ = false;  // whole
  bool keep_alive_ = false;
  bool answered_ = false;  // an answer has begun
  bool ended_ = false;     // and all of it is in pieces_
  bool chunked_ = false;   // it is sent in chunks
  bool head_only_ = false;

  std::deque<Piece> pieces_;
  bool writing_ = false;
  size_t sent_ = 0;  // of the first piece
  int64_t answer_bytes_ = 0;
  Clock::time_point transfer_start_;

  boost::asio::steady_timer timer_;
  Clock::time_point deadline_ = Clock::time_point::max();
  Clock::time_point armed_ = Clock::time_point::max();
};

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_CONNECTION_H_
