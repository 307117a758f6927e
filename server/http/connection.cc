#include "server/http/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/http/error.hpp>
#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/caller.h"
#include "base/error_info.h"
#include "server/http/errors.h"
#include "zeroshot/admission.h"

namespace zeroshot::server::http {
namespace {

namespace asio = boost::asio;
using HttpError = boost::beast::http::error;

// Read at once: of a head, of a body.
constexpr size_t kHeadPiece = 4 << 10;
constexpr size_t kBodyPiece = 64 << 10;
// Of requests that are sent before the answer to the first.
constexpr size_t kMaxAhead = 64 << 10;
// Of a body that is not wanted, thrown away behind an answer, because closing
// at once would make the system take the answer back; and for how long.
constexpr size_t kMaxDrained = 256 << 10;
constexpr absl::Duration kLingerTime = absl::Seconds(2);
// A body is sent with the head if it is not longer.
constexpr size_t kSmallBody = 16 << 10;

int64_t Now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             Clock::now().time_since_epoch())
      .count();
}

// Who a certificate says it is of: the first alternative name, else the common
// name, as gRPC has it.
std::string NameIn(X509* certificate) {
  std::string name;
  auto* const names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* const entry = sk_GENERAL_NAME_value(names, i);
    if (entry->type != GEN_DNS && entry->type != GEN_URI &&
        entry->type != GEN_EMAIL) {
      continue;
    }
    name.assign(
        reinterpret_cast<const char*>(ASN1_STRING_get0_data(entry->d.ia5)),
        ASN1_STRING_length(entry->d.ia5));
    break;
  }
  GENERAL_NAMES_free(names);
  char common[256] = "";
  if (name.empty() &&
      X509_NAME_get_text_by_NID(X509_get_subject_name(certificate),
                                NID_commonName, common, sizeof(common)) > 0) {
    name = common;
  }
  return absl::CHexEscape(name);
}

std::string CertificateOf(SSL* tls) {
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      SSL_get1_peer_certificate(tls), &X509_free);
  return certificate == nullptr ? "" : NameIn(certificate.get());
}

absl::Status TooSlow(absl::string_view message) {
  return base::WithReason(absl::DeadlineExceededError(message),
                          base::kClientTooSlow);
}

absl::Status BodyTooLarge(int64_t most) {
  return base::WithReason(
      absl::InvalidArgumentError(absl::StrCat(
          "the body has more than ", most, " bytes, which this route takes")),
      kBodyTooLarge);
}

absl::Status NoMemory() {
  absl::Status full = absl::ResourceExhaustedError(
      "the bodies of all requests together take too much memory; try again "
      "later (--receive_memory_bytes)");
  SetRetryDelay(full, absl::Seconds(1));
  return base::WithReason(full, base::kOverloaded,
                          {{"cause", "request_memory"}});
}

}  // namespace

Connection::Connection(ConnectionHost* host, Tcp::socket socket,
                       std::shared_ptr<TlsContext> tls, std::string address,
                       std::string peer)
    : host_(host),
      socket_(std::move(socket)),
      tls_context_(std::move(tls)),
      address_(std::move(address)),
      peer_(std::move(peer)),
      idle_since_(Now()),
      timer_(socket_.get_executor()) {
  if (tls_context_ != nullptr) {
    tls_ = std::make_unique<asio::ssl::stream<Tcp::socket&>>(socket_,
                                                             *tls_context_);
  }
}

Connection::~Connection() {
  if (!closed_) host_->Closed(this);
  host_->GiveMemory(held_);
}

void Connection::Start() {
  Error ignored;
  socket_.set_option(Tcp::no_delay(true), ignored);
  WaitFor(host_->options().handshake_time);
  if (tls_ == nullptr) return NextRequest();
  tls_->async_handshake(asio::ssl::stream_base::server,
                        [self = shared_from_this()](const Error& error) {
                          if (!self->alive()) return;
                          if (error) return self->Close();
                          self->certificate_ =
                              CertificateOf(self->tls_->native_handle());
                          self->NextRequest();
                        });
}

void Connection::Close() {
  if (closed_) return;
  closed_ = true;
  owes_answer_ = false;
  if (exchange_ != nullptr) exchange_->Stop(base::CallerGone());
  exchange_.reset();
  host_->GiveMemory(held_.exchange(0));
  Error ignored;
  timer_.cancel(ignored);
  socket_.close(ignored);
  host_->Closed(this);
}

void Connection::Post(std::function<void()> task) {
  asio::post(socket_.get_executor(),
             [self = shared_from_this(), task = std::move(task)] { task(); });
}

// --- reading ---

void Connection::NextRequest() {
  state_ = State::kHead;
  parser_ = std::make_unique<Parser>();
  parser_->header_limit(HttpServer::kMaxHeadBytes);
  // Each exchange has its own.
  parser_->body_limit(std::numeric_limits<uint64_t>::max());
  parser_->get().body() = [this](absl::string_view bytes) { TakeBody(bytes); };
  request_ = {};
  request_.peer = peer_;
  body_status_ = absl::OkStatus();
  body_bytes_ = 0;
  head_bytes_ = 0;
  answer_bytes_ = 0;
  began_ = body_read_ = answered_ = ended_ = chunked_ = head_only_ = false;
  idle_since_ = Now();
  WaitFor(host_->options().idle_time);
  if (ahead_.empty()) return Read();
  const std::string ahead = std::move(ahead_);
  ahead_.clear();
  Process(ahead);
}

void Connection::Read() {
  if (reading_ || closed_ || no_more_ || ahead_.size() >= kMaxAhead) return;
  if (state_ == State::kBody && exchange_ != nullptr && exchange_->full()) {
    // The wait is ours, not the client's.
    waits_since_ = 0;
    deadline_ = Clock::time_point::max();
    return;
  }
  reading_ = true;
  const size_t size = state_ == State::kBody ? kBodyPiece : kHeadPiece;
  if (buffer_.size() != size) std::string(size, '\0').swap(buffer_);
  auto then = [self = shared_from_this()](const Error& error, size_t read) {
    self->OnRead(error, read);
  };
  const auto into = asio::buffer(buffer_);
  if (tls_ != nullptr) {
    tls_->async_read_some(into, std::move(then));
  } else {
    socket_.async_read_some(into, std::move(then));
  }
}

void Connection::OnRead(const Error& error, size_t size) {
  reading_ = false;
  if (closed_) return;
  if (error) return Gone(error == asio::error::eof);
  Process(absl::string_view(buffer_.data(), size));
}

void Connection::Gone(bool half) {
  no_more_ = true;
  // One that has ended its side may still read what it is being told.
  if (half && state_ == State::kAnswer && ended_) return;
  Close();
}

void Connection::Process(absl::string_view bytes) {
  std::string joined;
  if (!ahead_.empty()) {
    joined = std::move(ahead_);
    ahead_.clear();
    joined.append(bytes.data(), bytes.size());
    bytes = joined;
  }
  bool more = true;
  while (more && !bytes.empty() && alive()) {
    switch (state_) {
      case State::kHead:
        more = ReadHead(&bytes);
        break;
      case State::kBody:
        more = ReadBody(&bytes);
        break;
      case State::kLinger:
        drained_ += bytes.size();
        bytes = "";
        if (drained_ > kMaxDrained) return Close();
        break;
      default:
        more = false;
    }
  }
  if (!alive()) return;
  ahead_.append(bytes.data(), bytes.size());
  Read();
}

bool Connection::ReadHead(absl::string_view* bytes) {
  if (!began_) {
    began_ = true;
    WaitFor(host_->options().head_time);
  }
  Error error;
  const size_t size =
      parser_->put(asio::buffer(bytes->data(), bytes->size()), error);
  bytes->remove_prefix(size);
  head_bytes_ += size;
  // The parser's own limit is one of lines that have no end.
  const size_t so_far =
      head_bytes_ + (error == HttpError::need_more ? bytes->size() : 0);
  if (so_far > HttpServer::kMaxHeadBytes) error = HttpError::header_limit;
  if (error == HttpError::need_more) return false;
  if (error) {
    BadRequest(error);
    return false;
  }
  if (!parser_->is_header_done()) return true;
  OnHead();
  return true;
}

void Connection::BadRequest(const Error& error) {
  keep_alive_ = false;
  if (error == HttpError::header_limit) {
    return Refuse(
        base::WithReason(absl::InvalidArgumentError(absl::StrCat(
                             "the headers are too long; at most ",
                             HttpServer::kMaxHeadBytes, " bytes are allowed")),
                         kHeadersTooLarge));
  }
  Refuse(absl::InvalidArgumentError(
      absl::StrCat("this is no request of HTTP/1.1: ", error.message())));
}

// What would let another server on the way see another end of the body.
absl::Status Connection::CheckHead() const {
  const auto& head = parser_->get();
  const auto count = [&](boost::beast::http::field name) {
    return std::distance(head.equal_range(name).first,
                         head.equal_range(name).second);
  };
  using Field = boost::beast::http::field;
  if (head.version() >= 11 && count(Field::host) != 1) {
    return absl::InvalidArgumentError(
        "a request of HTTP/1.1 must have one Host header");
  }
  const auto lengths = count(Field::content_length);
  if (lengths > 1 ||
      (lengths == 1 &&
       absl::string_view(head[Field::content_length].data(),
                         head[Field::content_length].size())
               .find_first_not_of("0123456789") != absl::string_view::npos)) {
    return absl::InvalidArgumentError(
        "Content-Length must be one number in one header");
  }
  const auto encodings = count(Field::transfer_encoding);
  if (encodings == 0) return absl::OkStatus();
  const absl::string_view encoding(head[Field::transfer_encoding].data(),
                                   head[Field::transfer_encoding].size());
  if (encodings > 1 || lengths > 0 || head.version() < 11 ||
      !absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(encoding),
                              "chunked") ||
      !parser_->chunked()) {
    return absl::InvalidArgumentError(
        "Transfer-Encoding may be `chunked`, in HTTP/1.1 and without a "
        "Content-Length");
  }
  return absl::OkStatus();
}

void Connection::OnHead() {
  idle_since_ = 0;
  const auto& head = parser_->get();
  request_.method = std::string(head.method_string());
  request_.target = std::string(head.target());
  for (const auto& field : head) {
    request_.headers.emplace_back(std::string(field.name_string()),
                                  std::string(field.value()));
  }
  request_.peer = peer_;
  request_.certificate = certificate_;
  request_.tag =
      TagOf(request_.Header("x-request-id"), request_.Header("traceparent"));
  head_only_ = request_.method == "HEAD";
  keep_alive_ = parser_->keep_alive();
  state_ = State::kAnswer;
  deadline_ = Clock::time_point::max();
  if (absl::Status good = CheckHead(); !good.ok()) {
    keep_alive_ = false;
    return Refuse(good);
  }
  if (const auto length = parser_->content_length()) {
    request_.content_length =
        static_cast<int64_t>(std::min<uint64_t>(*length, int64_t{1} << 62));
  }
  request_.has_body = !parser_->is_done();
  body_read_ = !request_.has_body;
  owes_answer_ = body_read_;
  const absl::string_view expect = request_.Header("expect");
  const bool waits = absl::EqualsIgnoreCase(expect, "100-continue");
  exchange_ = host_->handler().Begin(request_, shared_from_this());
  if (!alive() || exchange_ == nullptr || answered_) return;
  const int64_t most = exchange_->max_body_bytes();
  if (request_.content_length > most || (request_.has_body && most == 0)) {
    return Refuse(BodyTooLarge(most));
  }
  if (body_read_) {
    if (absl::Status ended = exchange_->End(); !ended.ok()) Refuse(ended);
    return;
  }
  if (waits && head.version() >= 11) Send("HTTP/1.1 100 Continue\r\n\r\n");
  // A client that sends headers and body apart may wait for the
  // acknowledgement of the first, which the system would put off by 40 ms.
  const int on = 1;
  setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_QUICKACK, &on,
             sizeof(on));
  state_ = State::kBody;
  waits_since_ = Now();
  transfer_start_ = Clock::now();
  WaitForTransfer(transfer_start_, 0);
}

void Connection::TakeBody(absl::string_view bytes) {
  if (!body_status_.ok() || exchange_ == nullptr) return;
  body_bytes_ += static_cast<int64_t>(bytes.size());
  if (body_bytes_ > exchange_->max_body_bytes()) {
    body_status_ = BodyTooLarge(exchange_->max_body_bytes());
    return;
  }
  const int64_t memory =
      static_cast<int64_t>(bytes.size()) * exchange_->memory_factor();
  if (!host_->TakeMemory(memory)) {
    body_status_ = NoMemory();
    return;
  }
  held_ += memory;
  body_status_ = exchange_->Take(bytes);
}

bool Connection::ReadBody(absl::string_view* bytes) {
  Error error;
  const size_t size =
      parser_->put(asio::buffer(bytes->data(), bytes->size()), error);
  bytes->remove_prefix(size);
  if (answered_ || exchange_ == nullptr) return true;
  if (!body_status_.ok()) {
    Refuse(body_status_);
    return true;
  }
  if (error && error != HttpError::need_more) {
    BadRequest(error);
    return false;
  }
  if (parser_->is_done()) {
    body_read_ = true;
    state_ = State::kAnswer;
    waits_since_ = 0;
    deadline_ = Clock::time_point::max();
    owes_answer_ = true;
    if (absl::Status ended = exchange_->End(); !ended.ok()) Refuse(ended);
    return true;
  }
  waits_since_ = Now();
  WaitForTransfer(transfer_start_, body_bytes_);
  return !error && size > 0 && !exchange_->full();
}

void Connection::Resume() {
  if (closed_ || state_ != State::kBody) return;
  waits_since_ = Now();
  WaitForTransfer(transfer_start_, body_bytes_);
  Process("");
}

void Connection::Refuse(const absl::Status& why) {
  if (closed_ || answered_) return;
  if (exchange_ != nullptr) {
    exchange_->Stop(why);
  } else {
    if (request_.tag.id.empty()) request_.tag = TagOf("", "");
    host_->handler().Refused(request_, why);
  }
  if (!closed_) Answer(ErrorResponse(request_, why));
}

// --- writing ---

std::string Connection::HeadOf(const Response& response, int64_t size) {
  const bool http10 =
      parser_->is_header_done() && parser_->get().version() < 11;
  chunked_ = size < 0 && !http10;
  if (!body_read_ || no_more_ || host_->draining() || (size < 0 && http10)) {
    keep_alive_ = false;
  }
  std::string head = absl::StrCat(
      "HTTP/1.1 ", response.code, " ", PhraseOf(response.code), "\r\nDate: ",
      absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(),
                       absl::UTCTimeZone()),
      "\r\n");
  if (response.code != 204) {
    absl::StrAppend(&head, "Content-Type: ", response.content_type, "\r\n");
    if (size >= 0) absl::StrAppend(&head, "Content-Length: ", size, "\r\n");
    if (chunked_) head += "Transfer-Encoding: chunked\r\n";
  }
  for (const auto& [name, value] : response.headers) {
    absl::StrAppend(&head, name, ": ", value, "\r\n");
  }
  if (!keep_alive_) {
    head += "Connection: close\r\n";
  } else if (http10) {
    head += "Connection: keep-alive\r\n";
  }
  return head + "\r\n";
}

void Connection::Answer(Response response) {
  if (closed_ || answered_) return;
  const auto size = static_cast<int64_t>(response.body.size());
  std::string body = std::move(response.body);
  BeginAnswer(std::move(response), size);
  if (!head_only_ && size > 0) {
    if (body.size() <= kSmallBody && !pieces_.empty() && !writing_) {
      pieces_.back().bytes += body;
    } else {
      Send(std::move(body));
    }
  }
  ended_ = true;
  owes_answer_ = false;
  WriteNext();
}

void Connection::Begin(Response head, int64_t size) {
  if (closed_ || answered_) return;
  BeginAnswer(std::move(head), size);
  WriteNext();
}

void Connection::BeginAnswer(Response head, int64_t size) {
  answered_ = true;
  state_ = State::kAnswer;
  waits_since_ = 0;
  host_->handler().AddHeaders(request_, &head);
  std::string text = HeadOf(head, size);
  transfer_start_ = Clock::now();
  // Sent by the caller, maybe with what follows.
  pieces_.push_back({std::move(text), nullptr});
  WaitForTransfer(transfer_start_, 0);
}

void Connection::Write(std::string bytes, std::function<void()> taken) {
  if (closed_ || ended_) return;
  if (pieces_.empty()) {
    // Until now the client has waited for us.
    transfer_start_ = Clock::now();
    answer_bytes_ = 0;
    WaitForTransfer(transfer_start_, 0);
  }
  if (head_only_) bytes.clear();
  if (chunked_ && !bytes.empty()) {
    bytes = absl::StrCat(absl::Hex(bytes.size()), "\r\n", bytes, "\r\n");
  }
  Send(std::move(bytes), std::move(taken));
}

void Connection::End() {
  if (closed_ || ended_ || !answered_) return;
  ended_ = true;
  owes_answer_ = false;
  if (chunked_ && !head_only_) pieces_.push_back({"0\r\n\r\n", nullptr});
  WriteNext();
  if (pieces_.empty() && !writing_) Finish();
}

void Connection::Abort() { Close(); }

void Connection::Send(std::string bytes, std::function<void()> taken) {
  pieces_.push_back({std::move(bytes), std::move(taken)});
  WriteNext();
}

void Connection::WriteNext() {
  if (writing_ || closed_ || pieces_.empty()) return;
  writing_ = true;
  auto then = [self = shared_from_this()](const Error& error, size_t size) {
    self->OnWritten(error, size);
  };
  const std::string& bytes = pieces_.front().bytes;
  const auto rest = asio::buffer(bytes.data() + sent_, bytes.size() - sent_);
  if (bytes.size() == sent_) {
    asio::post(socket_.get_executor(), [then] { then(Error(), 0); });
  } else if (tls_ != nullptr) {
    tls_->async_write_some(rest, std::move(then));
  } else {
    socket_.async_write_some(rest, std::move(then));
  }
}

void Connection::OnWritten(const Error& error, size_t size) {
  writing_ = false;
  if (closed_) return;
  if (error) return Close();
  sent_ += size;
  answer_bytes_ += static_cast<int64_t>(size);
  std::function<void()> taken;
  if (sent_ == pieces_.front().bytes.size()) {
    taken = std::move(pieces_.front().taken);
    pieces_.pop_front();
    sent_ = 0;
  }
  if (answered_) {
    if (pieces_.empty() && !ended_) {
      deadline_ = Clock::time_point::max();  // it waits for us
    } else {
      WaitForTransfer(transfer_start_, answer_bytes_);
    }
  }
  if (taken) taken();
  if (closed_) return;
  if (!pieces_.empty()) return WriteNext();
  if (ended_ && answered_ && !writing_) Finish();
}

void Connection::Finish() {
  exchange_.reset();
  host_->GiveMemory(held_.exchange(0));
  if (!keep_alive_ || no_more_) return Linger();
  NextRequest();
}

void Connection::Linger() {
  state_ = State::kLinger;
  ahead_.clear();
  if (no_more_) return Close();
  WaitFor(kLingerTime);
  // TLS' own good-bye would be answered with an error where a client still
  // sends its body.
  Error ignored;
  if (tls_ == nullptr) {
    socket_.shutdown(Tcp::socket::shutdown_send, ignored);
  }
  Read();
}

// --- time ---

void Connection::WaitFor(absl::Duration time) {
  deadline_ = Clock::now() + absl::ToChronoNanoseconds(time);
  Arm();
}

void Connection::WaitForTransfer(Clock::time_point start, int64_t bytes) {
  const HttpServer::Options& options = host_->options();
  const auto patience = absl::ToChronoNanoseconds(options.patience);
  const auto mean = absl::ToChronoNanoseconds(absl::Seconds(
      static_cast<double>(bytes) / static_cast<double>(options.min_rate)));
  deadline_ = std::min(Clock::now() + patience, start + patience + mean);
  Arm();
}

// The timer is set again only where it would come too late.
void Connection::Arm() {
  if (armed_ <= deadline_ || closed_) return;
  armed_ = deadline_;
  timer_.expires_at(armed_);
  timer_.async_wait([self = shared_from_this()](const Error& error) {
    if (error || !self->alive()) return;
    self->armed_ = Clock::time_point::max();
    self->OnTimer();
  });
}

void Connection::OnTimer() {
  if (Clock::now() < deadline_) {
    if (deadline_ != Clock::time_point::max()) Arm();
    return;
  }
  if (state_ == State::kBody) {
    return Refuse(TooSlow(absl::StrCat(
        "of the request's body ", body_bytes_,
        " bytes came in time; without a byte for ",
        absl::FormatDuration(host_->options().patience),
        " (--client_patience), or with fewer than ", host_->options().min_rate,
        " bytes per second (--min_transfer_rate), it is ended")));
  }
  Close();
}

}  // namespace zeroshot::server::http
