// What strangers may do before there is a call: guess tokens, send headers
// without measure, and begin handshakes that they never end.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/e2e/abuse.h"
#include "tests/testing/slow_client.h"

namespace e2e {
namespace {

constexpr int64_t kMostMemory = 8 * kMiB;
constexpr char kGetModel[] = "/zeroshot.v1.ZeroShot/GetModel";

// An empty gRPC message.
std::string EmptyMessage() { return std::string(5, '\0'); }

TEST(AbuseConnectionsTest, GuessesOfTokensCostLittleAndDisturbNobody) {
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  constexpr int kGuesses = 100'000, kAtOnce = 100;
  const auto guess = [&](int guesses) {
    SlowClient client(server.port());
    for (int i = 0; i < guesses; i += kAtOnce) {
      std::vector<uint32_t> streams;
      for (int k = 0; k < kAtOnce; ++k) {
        const std::string token = absl::StrCat("Bearer guess-", i + k);
        streams.push_back(client.Open(kGetModel, {{"authorization", token}}));
        client.SendAll(streams.back(), EmptyMessage(), true, absl::Seconds(20));
      }
      for (const uint32_t stream : streams) {
        ASSERT_TRUE(client.WaitForEnd(stream, absl::Seconds(20)));
      }
    }
  };
  // A hundred callers' calls are on their way at once, with what the transport
  // holds for each, in as many threads as gRPC has by then.
  const Cost first = server.Under([&] { guess(kGuesses / 10); });
  EXPECT_LT(first.memory, 4 * kMostMemory);
  AbusedServer::ExpectUndisturbed(first);
  // With that in the allocator's hands: nothing is kept of 100,000 guesses.
  const Cost cost = server.Under([&] { guess(kGuesses); });
  EXPECT_LT(cost.memory, kMostMemory);
  AbusedServer::ExpectUndisturbed(cost);
  const absl::Duration cpu = server.CpuOf([&] { guess(kGuesses / 10); });
  std::printf("a guess: %s of CPU\n",
              absl::FormatDuration(cpu / (kGuesses / 10)).c_str());
  EXPECT_LT(cpu, kGuesses / 10 * absl::Milliseconds(1));
}

// A field of a header block, not indexed (RFC 7541, 6.2.2), whose value has
// `size` bytes.
std::string HeaderField(const std::string& name, size_t size) {
  std::string field(1, '\0');
  const auto length = [&](size_t n) {  // a number behind 7 bits (5.1)
    if (n < 127) {
      field += static_cast<char>(n);
      return;
    }
    field += '\x7f';
    for (n -= 127; n >= 128; n /= 128)
      field += static_cast<char>(n % 128 + 128);
    field += static_cast<char>(n);
  };
  length(name.size());
  field += name;
  length(size);
  return field.append(size, 'v');
}

TEST(AbuseConnectionsTest, AMegabyteOfMetadataIsRefused) {
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  constexpr uint8_t kHeaders = 1, kContinuation = 9;
  constexpr uint8_t kEndStream = 1, kEndHeaders = 4;
  constexpr size_t kFrame = 16'384;
  // One field of a megabyte, and a thousand of a kilobyte.
  std::string many;
  for (int i = 0; i < 1'000; ++i)
    many += HeaderField(absl::StrCat("x-", i), 1'000);
  for (const std::string& block : {HeaderField("x-large", kMiB), many}) {
    const auto attack = [&] {
      for (int i = 0; i < 20; ++i) {
        SlowClient client(server.port());
        // :method POST, :scheme http, :path /; a stream of its own.
        client.Frame(kHeaders, kEndStream, 1, "\x83\x86\x84");
        for (size_t at = 0; at < block.size(); at += kFrame) {
          const bool last = at + kFrame >= block.size();
          client.Frame(kContinuation, last ? kEndHeaders : 0, 1,
                       absl::string_view(block).substr(at, kFrame));
        }
        EXPECT_TRUE(client.WaitForEnd(1, absl::Seconds(20)));
      }
    };
    const Cost cost = server.Under(attack);
    EXPECT_LT(cost.memory, kMostMemory + kMiB);
    EXPECT_LT(server.CpuOf(attack), 20 * absl::Milliseconds(50));
    AbusedServer::ExpectUndisturbed(cost);
  }
}

// Connections that say `greeting` and nothing more.
class Silent {
 public:
  Silent(int port, int connections, const std::string& greeting) {
    for (int i = 0; i < connections; ++i) {
      const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(static_cast<uint16_t>(port));
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      EXPECT_EQ(
          connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address),
          0);
      EXPECT_EQ(send(fd, greeting.data(), greeting.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(greeting.size()));
      fds_.push_back(fd);
    }
  }
  ~Silent() {
    for (const int fd : fds_) close(fd);
  }
  Silent(const Silent&) = delete;
  Silent& operator=(const Silent&) = delete;

  // How many the server has not closed within `patience`.
  int LeftAfter(absl::Duration patience) {
    const absl::Time deadline = absl::Now() + patience;
    int left = 0;
    for (const int fd : fds_) {
      left += ClosedBy(fd, deadline) ? 0 : 1;
    }
    return left;
  }

 private:
  static bool ClosedBy(int fd, absl::Time deadline) {
    std::string buffer(4'096, '\0');
    for (;;) {
      pollfd wait = {fd, POLLIN, 0};
      const int64_t left = std::max<int64_t>(
          absl::ToInt64Milliseconds(deadline - absl::Now()), 0);
      if (poll(&wait, 1, static_cast<int>(left)) != 1) return false;
      if (recv(fd, buffer.data(), buffer.size(), 0) <= 0) return true;
    }
  }

  std::vector<int> fds_;
};

// The first message of a TLS client, as OpenSSL writes it.
std::string ClientHello() {
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context(
      SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  const std::unique_ptr<SSL, void (*)(SSL*)> client(SSL_new(context.get()),
                                                    SSL_free);
  BIO* const sent = BIO_new(BIO_s_mem());
  SSL_set_bio(client.get(), BIO_new(BIO_s_mem()), sent);
  // What gRPC's servers ask for.
  EXPECT_EQ(SSL_set_alpn_protos(client.get(),
                                reinterpret_cast<const uint8_t*>("\x02h2"), 3),
            0);
  SSL_connect(client.get());
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(sent, &bytes);
  return {bytes, static_cast<size_t>(size)};
}

TEST(AbuseConnectionsTest, HandshakesThatNeverEndCostLittleAndAreEnded) {
  AbusedServer server({}, /*with_tokens=*/true, /*with_tls=*/true);
  ASSERT_TRUE(server.ok());
  constexpr int kConnections = 500;
  const std::string hello = ClientHello();
  ASSERT_GT(hello.size(), 100);
  std::vector<std::unique_ptr<Silent>> silent;
  for (const std::string& greeting :
       {std::string(),                           // nothing at all
        std::string("\x16\x03\x01\x40\x00", 5),  // 16 KiB that never come
        hello.substr(0, hello.size() - 1), hello}) {
    SCOPED_TRACE(absl::StrCat(greeting.size(), " bytes"));
    const Cost cost = server.Under([&] {
      silent.push_back(
          std::make_unique<Silent>(server.port(), kConnections, greeting));
      absl::SleepFor(absl::Seconds(1));
    });
    // What gRPC and OpenSSL hold for one: docs/security.md has the figure.
    EXPECT_LT(cost.memory, kConnections * int64_t{128} * 1024);
    AbusedServer::ExpectUndisturbed(cost);
  }
  for (const auto& connections : silent) {
    EXPECT_EQ(connections->LeftAfter(absl::Seconds(40)), 0);
  }
}

}  // namespace
}  // namespace e2e
