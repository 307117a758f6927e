#include "client/cli/http_call.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace zeroshot::client {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using Error = boost::system::error_code;
using Tcp = asio::ip::tcp;

// A thread's connection.
struct Connection {
  asio::io_context io;
  beast::tcp_stream stream{io};
  beast::flat_buffer buffer;
};

thread_local std::unique_ptr<Connection> connection;

absl::Status NotReached(absl::string_view host, int port, const Error& error) {
  connection.reset();
  return absl::UnavailableError(
      absl::StrCat("HTTP at ", host, ":", port, ": ", error.message()));
}

absl::Duration Seconds(const nlohmann::json& timing, const char* stage) {
  return absl::Seconds(timing.value(stage, 0.0));
}

// {"error": {"status": "NOT_FOUND", ...}}
absl::Status ErrorOf(int code, const nlohmann::json& body) {
  const nlohmann::json error = body.value("error", nlohmann::json::object());
  const std::string name = error.value("status", "");
  const std::string message =
      error.value("message", absl::StrCat("the server answered ", code));
  for (int c = 1; c <= 16; ++c) {
    const auto status = static_cast<absl::StatusCode>(c);
    if (absl::StatusCodeToString(status) == name) {
      return absl::Status(status, message);
    }
  }
  return absl::UnknownError(message);
}

}  // namespace

HttpCall::HttpCall(std::string host, int port, absl::string_view weight_set_id,
                   int top_k, std::string token, absl::Duration timeout)
    : host_(std::move(host)),
      port_(port),
      target_(absl::StrCat("/v1/classify?weight_set_id=", weight_set_id,
                           "&top_k=", top_k)),
      token_(std::move(token)),
      timeout_(timeout) {}

absl::StatusOr<Answer> HttpCall::Classify(const std::string& image) const {
  Error error;
  if (connection == nullptr) {
    connection = std::make_unique<Connection>();
    const auto found = Tcp::resolver(connection->io)
                           .resolve(host_, std::to_string(port_), error);
    if (!error) connection->stream.connect(found, error);
    if (error) return NotReached(host_, port_, error);
    connection->stream.socket().set_option(Tcp::no_delay(true), error);
  }
  beast::http::request<beast::http::span_body<const char>> request(
      beast::http::verb::post, target_, 11);
  request.set(beast::http::field::host, absl::StrCat(host_, ":", port_));
  request.set(beast::http::field::content_type, "application/octet-stream");
  request.set("X-Request-Timeout",
              absl::StrCat(absl::ToDoubleSeconds(timeout_)));
  if (!token_.empty()) {
    request.set(beast::http::field::authorization, "Bearer " + token_);
  }
  request.body() = {image.data(), image.size()};
  request.prepare_payload();
  beast::http::write(connection->stream, request, error);
  beast::http::response<beast::http::string_body> response;
  if (!error) {
    beast::http::read(connection->stream, connection->buffer, response, error);
  }
  if (error) return NotReached(host_, port_, error);
  if (!response.keep_alive()) connection.reset();
  const nlohmann::json body =
      nlohmann::json::parse(response.body(), nullptr, /*throw=*/false);
  if (!body.is_object()) {
    return absl::UnknownError(
        absl::StrCat("HTTP at ", host_, ":", port_, " answers no JSON"));
  }
  if (response.result_int() != 200) {
    return ErrorOf(static_cast<int>(response.result_int()), body);
  }
  const nlohmann::json timing = body.value("timing", nlohmann::json::object());
  Answer answer;
  answer.timing.decode = Seconds(timing, "decode");
  answer.timing.preprocess = Seconds(timing, "preprocess");
  answer.timing.queue = Seconds(timing, "queue");
  answer.timing.compute = Seconds(timing, "compute");
  answer.timing.total = Seconds(timing, "total");
  return answer;
}

}  // namespace zeroshot::client
