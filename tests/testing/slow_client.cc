#include "tests/testing/slow_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace {

// RFC 9113's frame types and flags.
constexpr uint8_t kData = 0, kHeaders = 1, kReset = 3, kSettings = 4, kPing = 6,
                  kWindowUpdate = 8;
constexpr uint8_t kEndStream = 1, kEndHeaders = 4, kAck = 1;
constexpr size_t kFrameHeader = 9;
constexpr char kInitialWindow = 4;  // a setting
constexpr size_t kLargestFrame = 16'384;

// RFC 7541: a literal that is not indexed, by its name's place in the static
// table or by name. REQUIRES: shorter than 127 bytes.
std::string Text(absl::string_view text) {
  return absl::StrCat(std::string(1, static_cast<char>(text.size())), text);
}

uint32_t NumberAt(absl::string_view bytes) {
  uint32_t big_endian;
  std::memcpy(&big_endian, bytes.data(), sizeof(big_endian));
  return ntohl(big_endian);
}

std::string Number(uint32_t number) {
  const uint32_t big_endian = htonl(number);
  return std::string(reinterpret_cast<const char*>(&big_endian), 4);
}

}  // namespace

SlowClient::SlowClient(int port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0;
  if (!connected_) return;
  const int at_once = 1;  // a frame waits for no acknowledgement of another
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof(at_once));
  constexpr absl::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  send(fd_, kPreface.data(), kPreface.size(), MSG_NOSIGNAL);
  Frame(kSettings, 0, 0,
        absl::StrCat(std::string({0, kInitialWindow}), Number(0)));
}

SlowClient::~SlowClient() { close(fd_); }

uint32_t SlowClient::Open(absl::string_view path, const Headers& headers) {
  const uint32_t stream = next_stream_;
  next_stream_ += 2;
  windows_[stream] = first_window_;
  // :method POST, :scheme http, :path, :authority, content-type, te.
  std::string block =
      absl::StrCat("\x83\x86\x04", Text(path), "\x01", Text("test"), "\x0f\x10",
                   Text("application/grpc"), absl::string_view("\0", 1),
                   Text("te"), Text("trailers"));
  for (const auto& [name, value] : headers) {
    absl::StrAppend(&block, absl::string_view("\0", 1), Text(name),
                    Text(value));
  }
  Frame(kHeaders, kEndHeaders, stream, block);
  return stream;
}

uint32_t SlowClient::Begin(absl::string_view method, uint32_t size) {
  const uint32_t stream = Open(absl::StrCat("/zeroshot.v1.ZeroShot/", method));
  Send(stream, absl::StrCat(absl::string_view("\0", 1), Number(size)), false);
  return stream;
}

void SlowClient::Send(uint32_t stream, absl::string_view bytes, bool last) {
  do {
    const absl::string_view piece = bytes.substr(0, kLargestFrame);
    bytes.remove_prefix(piece.size());
    windows_[0] -= static_cast<int64_t>(piece.size());
    windows_[stream] -= static_cast<int64_t>(piece.size());
    Frame(kData, last && bytes.empty() ? kEndStream : 0, stream, piece);
  } while (!bytes.empty());
}

bool SlowClient::SendAll(uint32_t stream, absl::string_view bytes, bool last,
                         absl::Duration patience) {
  do {
    if (windows_.count(stream) == 0) return false;
    const int64_t now =
        std::min({static_cast<int64_t>(bytes.size()), windows_[0],
                  windows_[stream], int64_t{kLargestFrame}});
    if (now <= 0 && !bytes.empty()) {
      if (!ReadFrames(patience)) return false;
      continue;
    }
    const absl::string_view piece = bytes.substr(0, std::max<int64_t>(now, 0));
    bytes.remove_prefix(piece.size());
    Send(stream, piece, last && bytes.empty());
  } while (!bytes.empty());
  return true;
}

bool SlowClient::Fill(uint32_t stream, int64_t size, absl::Duration patience) {
  return SendAll(stream, std::string(size, 'x'), false, patience);
}

bool SlowClient::WaitForEnd(uint32_t stream, absl::Duration patience) {
  while (windows_.count(stream) > 0) {
    if (!ReadFrames(patience)) return false;
  }
  return true;
}

bool SlowClient::WaitForAnswer(uint32_t stream, absl::Duration patience) {
  while (answered_.count(stream) == 0) {
    if (windows_.count(stream) == 0 || !ReadFrames(patience)) return false;
  }
  return true;
}

void SlowClient::Cancel(uint32_t stream) {
  windows_.erase(stream);
  Frame(kReset, 0, stream, Number(8));
}

bool SlowClient::ReadFrames(absl::Duration patience) {
  pollfd readable{fd_, POLLIN, 0};
  if (poll(&readable, 1,
           static_cast<int>(absl::ToInt64Milliseconds(patience))) <= 0) {
    return false;
  }
  char bytes[65'536];
  const ssize_t count = recv(fd_, bytes, sizeof(bytes), 0);
  if (count <= 0) connected_ = false;
  if (count <= 0) return false;
  received_.append(bytes, count);
  while (received_.size() >= kFrameHeader) {
    const size_t size = NumberAt(received_) >> 8;
    if (received_.size() < kFrameHeader + size) break;
    const uint8_t type = received_[3], flags = received_[4];
    const uint32_t stream = NumberAt(absl::string_view(received_).substr(5));
    const std::string payload = received_.substr(kFrameHeader, size);
    received_.erase(0, kFrameHeader + size);
    if (type == kWindowUpdate && windows_.count(stream) > 0)
      windows_[stream] += NumberAt(payload);
    const bool ended =
        (type == kHeaders || type == kData) && (flags & kEndStream) != 0;
    if (type == kReset || ended) windows_.erase(stream);
    if (type == kHeaders && !ended) answered_.insert(stream);
    if (type == kPing && (flags & kAck) == 0) Frame(kPing, kAck, 0, payload);
    if (type != kSettings || (flags & kAck) != 0) continue;
    for (size_t at = 0; at + 6 <= size; at += 6) {
      if (payload[at] != 0 || payload[at + 1] != kInitialWindow) continue;
      const int64_t window =
          NumberAt(absl::string_view(payload).substr(at + 2));
      for (auto& [of, left] : windows_) {
        if (of != 0) left += window - first_window_;
      }
      first_window_ = window;
    }
    Frame(kSettings, kAck, 0, "");
  }
  return true;
}

uint32_t SlowClient::Call(absl::string_view method, absl::string_view request) {
  const uint32_t stream = Begin(method, request.size());
  Send(stream, request, true);
  return stream;
}

void SlowClient::Frame(uint8_t type, uint8_t flags, uint32_t stream,
                       absl::string_view payload) {
  const std::string frame = absl::StrCat(
      Number(static_cast<uint32_t>(payload.size())).substr(1),
      std::string({static_cast<char>(type), static_cast<char>(flags)}),
      Number(stream), payload);
  send(fd_, frame.data(), frame.size(), MSG_NOSIGNAL);
}
