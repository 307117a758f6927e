#include "server/status_connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace zeroshot::server {
namespace {

// Of a body or more requests, thrown away behind an answer.
constexpr size_t kMaxDrainedBytes = 256 << 10;

constexpr absl::string_view kText = "text/plain; charset=utf-8";

// Whether the last send or recv merely found nothing to do.
bool NotNow() { return errno == EAGAIN || errno == EWOULDBLOCK; }

}  // namespace

StatusConnection::StatusConnection(int fd, std::string peer,
                                   absl::Time deadline)
    : fd_(fd), peer_(std::move(peer)), deadline_(deadline) {}

StatusConnection::~StatusConnection() { close(fd_); }

short StatusConnection::events() const {
  switch (state_) {
    case State::kReading:
    case State::kEnding:
      return POLLIN;
    case State::kWriting:
      return POLLOUT;
    default:
      return 0;
  }
}

bool StatusConnection::Read(std::string* path) {
  if (state_ == State::kEnding) Drain();
  if (state_ != State::kReading) return false;
  char buffer[2048];
  ssize_t got = 0;
  size_t end = std::string::npos;
  while (end == std::string::npos && in_.size() <= kMaxHeadBytes) {
    do {
      got = recv(fd_, buffer, sizeof(buffer), 0);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) break;
    const size_t seen = in_.size() - std::min<size_t>(in_.size(), 3);
    in_.append(buffer, got);
    end = in_.find("\r\n\r\n", seen);
    if (end == std::string::npos) end = in_.find("\n\n", seen);
  }
  if (end == std::string::npos) {
    if (in_.size() > kMaxHeadBytes) {
      Answer("431 Request Header Fields Too Large", kText,
             absl::StrCat("a request's head may have ", kMaxHeadBytes,
                          " bytes\n"));
    } else if (got == 0 || (got < 0 && !NotNow())) {
      state_ = State::kClosed;
    }
    return false;
  }
  const absl::string_view line =
      absl::string_view(in_).substr(0, in_.find_first_of("\r\n"));
  const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
  if (words.size() != 3 || !absl::StartsWith(words[2], "HTTP/1.")) {
    Answer("400 Bad Request", kText, "not a request of HTTP/1\n");
    return false;
  }
  head_only_ = words[0] == "HEAD";
  if (words[0] != "GET" && !head_only_) {
    Answer("405 Method Not Allowed", kText, "only GET and HEAD are answered\n");
    return false;
  }
  *path = std::string(words[1].substr(0, words[1].find('?')));
  state_ = State::kWaiting;
  return true;
}

void StatusConnection::Answer(absl::string_view status,
                              absl::string_view content_type,
                              absl::string_view text) {
  out_ = absl::StrCat(
      "HTTP/1.1 ", status, "\r\nContent-Type: ", content_type,
      "\r\nContent-Length: ", text.size(), "\r\nConnection: close\r\n",
      absl::StartsWith(status, "405") ? "Allow: GET, HEAD\r\n" : "", "\r\n",
      head_only_ ? "" : text);
  std::string().swap(in_);
  state_ = State::kWriting;
  Write();
}

void StatusConnection::Write() {
  if (state_ != State::kWriting) return;
  while (sent_ < out_.size()) {
    const ssize_t sent =
        send(fd_, out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && NotNow()) return;
    if (sent < 0) {
      state_ = State::kClosed;
      return;
    }
    sent_ += sent;
  }
  std::string().swap(out_);
  shutdown(fd_, SHUT_WR);
  state_ = State::kEnding;
  Drain();
}

void StatusConnection::Drain() {
  char buffer[4096];
  while (drained_ < kMaxDrainedBytes) {
    const ssize_t got = recv(fd_, buffer, sizeof(buffer), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && NotNow()) return;
    if (got <= 0) break;
    drained_ += got;
  }
  state_ = State::kClosed;
}

}  // namespace zeroshot::server
