#include "tests/testing/slow_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace {

// RFC 9113's frame types and flags.
constexpr uint8_t kData = 0, kHeaders = 1, kSettings = 4;
constexpr uint8_t kEndStream = 1, kEndHeaders = 4;
constexpr size_t kLargestFrame = 16'384;

// RFC 7541: a literal that is not indexed, by its name's place in the static
// table or by name. REQUIRES: shorter than 127 bytes.
std::string Text(absl::string_view text) {
  return absl::StrCat(std::string(1, static_cast<char>(text.size())), text);
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
  constexpr absl::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  send(fd_, kPreface.data(), kPreface.size(), MSG_NOSIGNAL);
  // SETTINGS_INITIAL_WINDOW_SIZE (4) is 0.
  Frame(kSettings, 0, 0, absl::string_view("\0\4\0\0\0\0", 6));
}

SlowClient::~SlowClient() { close(fd_); }

uint32_t SlowClient::Begin(absl::string_view method, uint32_t size) {
  const uint32_t stream = next_stream_;
  next_stream_ += 2;
  // :method POST, :scheme http, :path, :authority, content-type, te.
  Frame(kHeaders, kEndHeaders, stream,
        absl::StrCat("\x83\x86\x04",
                     Text(absl::StrCat("/zeroshot.v1.ZeroShot/", method)),
                     "\x01", Text("test"), "\x0f\x10", Text("application/grpc"),
                     absl::string_view("\0", 1), Text("te"), Text("trailers")));
  Send(stream, absl::StrCat(absl::string_view("\0", 1), Number(size)), false);
  return stream;
}

void SlowClient::Send(uint32_t stream, absl::string_view bytes, bool last) {
  do {
    const absl::string_view piece = bytes.substr(0, kLargestFrame);
    bytes.remove_prefix(piece.size());
    Frame(kData, last && bytes.empty() ? kEndStream : 0, stream, piece);
  } while (!bytes.empty());
}

void SlowClient::Call(absl::string_view method, absl::string_view request) {
  Send(Begin(method, request.size()), request, true);
}

void SlowClient::Frame(uint8_t type, uint8_t flags, uint32_t stream,
                       absl::string_view payload) {
  const std::string frame = absl::StrCat(
      Number(static_cast<uint32_t>(payload.size())).substr(1),
      std::string({static_cast<char>(type), static_cast<char>(flags)}),
      Number(stream), payload);
  send(fd_, frame.data(), frame.size(), MSG_NOSIGNAL);
}
