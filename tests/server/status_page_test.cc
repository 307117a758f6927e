#include "server/status_page.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/mutex.h"

namespace zeroshot::server {
namespace {

using ::testing::HasSubstr;

StatusSource Quiet() {
  return {.metrics = [] { return std::string("up 1\n"); },
          .live = [] { return absl::OkStatus(); },
          .ready = [] { return absl::OkStatus(); }};
}

httplib::Result Get(int port, const char* path,
                    const char* host = "127.0.0.1") {
  return httplib::Client(host, port).Get(path);
}

TEST(StatusPageTest, ServesMetrics) {
  const auto page = StatusPage::Start("127.0.0.1:0", Quiet());
  ASSERT_TRUE(page.ok()) << page.status();
  const auto answer = Get((*page)->port(), "/metrics");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "up 1\n");
  EXPECT_THAT(answer->get_header_value("Content-Type"),
              HasSubstr("version=0.0.4"));
  EXPECT_EQ(Get((*page)->port(), "/other")->status, 404);
}

TEST(StatusPageTest, LiveAndReadyAreToldApart) {
  std::atomic<bool> ready = false;
  StatusSource source = Quiet();
  source.ready = [&ready] {
    return ready ? absl::OkStatus() : absl::UnavailableError("loading");
  };
  const auto page = StatusPage::Start("127.0.0.1:0", source);
  ASSERT_TRUE(page.ok()) << page.status();
  const int port = (*page)->port();
  EXPECT_EQ(Get(port, "/livez")->status, 200);
  EXPECT_EQ(Get(port, "/readyz")->status, 503);
  EXPECT_EQ(Get(port, "/readyz")->body, "loading\n");
  ready = true;
  EXPECT_EQ(Get(port, "/readyz")->status, 200);
}

// Which address a name stands for is the machine's: 127.0.0.1 here, ::1 there.
TEST(StatusPageTest, AHostMayBeAName) {
  const auto page = StatusPage::Start("localhost:0", Quiet());
  ASSERT_TRUE(page.ok()) << page.status();
  const auto answer = Get((*page)->port(), "/livez", "localhost");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
}

TEST(StatusPageTest, ListensOnIpv6WhereTheMachineHasIt) {
  const auto page = StatusPage::Start("[::1]:0", Quiet());
  if (!page.ok()) GTEST_SKIP() << page.status();
  const auto answer = Get((*page)->port(), "/livez", "::1");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
}

TEST(StatusPageTest, ReadyCarriesRemarks) {
  std::atomic<bool> ready = true;
  StatusSource source = Quiet();
  source.ready = [&ready] {
    return ready ? absl::OkStatus() : absl::UnavailableError("stopping");
  };
  source.remarks = [] { return std::string("cuda:1 is lost\n"); };
  const auto page = StatusPage::Start("127.0.0.1:0", source);
  ASSERT_TRUE(page.ok()) << page.status();
  const int port = (*page)->port();
  EXPECT_EQ(Get(port, "/readyz")->body, "ok\ncuda:1 is lost\n");
  EXPECT_EQ(Get(port, "/livez")->body, "ok\n");
  ready = false;
  EXPECT_EQ(Get(port, "/readyz")->status, 503);
  EXPECT_EQ(Get(port, "/readyz")->body, "stopping\ncuda:1 is lost\n");
}

TEST(StatusPageTest, PortInUseIsAClearError) {
  const auto first = StatusPage::Start("127.0.0.1:0", Quiet());
  ASSERT_TRUE(first.ok()) << first.status();
  const std::string address = absl::StrCat("127.0.0.1:", (*first)->port());
  const auto second = StatusPage::Start(address, Quiet());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(absl::StrCat("--metrics_listen=", address,
                                     ": the port is in use")));
}

// A peer that does what it likes.
class Peer {
 public:
  explicit Peer(int port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(
        connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)),
        0);
  }
  ~Peer() { close(fd_); }

  // False: the server has hung up.
  bool Send(const std::string& bytes) {
    size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t now =
          send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (now < 0) return false;
      sent += now;
    }
    return true;
  }

  // All that the server sends until it hangs up.
  std::string ReadAll() {
    std::string all;
    char buffer[4096];
    ssize_t got = 0;
    while ((got = recv(fd_, buffer, sizeof(buffer), 0)) > 0) {
      all.append(buffer, got);
    }
    return all;
  }

 private:
  const int fd_;
};

std::string AnswerTo(int port, const std::string& request) {
  Peer peer(port);
  EXPECT_TRUE(peer.Send(request));
  return peer.ReadAll();
}

TEST(StatusPageTest, PeersThatSendSlowlyHoldNobodyUp) {
  const auto page =
      StatusPage::Start("127.0.0.1:0", Quiet(), absl::InfiniteDuration());
  ASSERT_TRUE(page.ok()) << page.status();
  std::vector<std::unique_ptr<Peer>> slow;
  for (size_t i = 0; i < 2 * StatusPage::kMaxConnections; ++i) {
    slow.push_back(std::make_unique<Peer>((*page)->port()));
    slow.back()->Send(i % 2 == 0 ? "GET /livez HTTP/1.1\r\nX-Slow: "
                                 : "POST / HTTP/1.1\r\nContent-Length: 9\r\n");
    if (i % 16 != 0) continue;
    for (const char* path : {"/livez", "/readyz", "/metrics"}) {
      const auto answer = Get((*page)->port(), path);
      ASSERT_TRUE(answer) << path << " beside " << i << " slow peers";
      EXPECT_EQ(answer->status, 200);
    }
  }
  // Those that there was no room for are gone.
  EXPECT_EQ(slow.front()->ReadAll(), "");
}

TEST(StatusPageTest, ARequestThatTakesTooLongIsHungUpOn) {
  const auto page =
      StatusPage::Start("127.0.0.1:0", Quiet(), absl::Milliseconds(300));
  ASSERT_TRUE(page.ok()) << page.status();
  Peer peer((*page)->port());
  // A piece now and then, each far within any patience with one piece.
  const absl::Time end = absl::Now() + absl::Seconds(60);
  bool open = peer.Send("GET /livez HTTP/1.1\r\nX: ");
  while (open && absl::Now() < end) {
    absl::SleepFor(absl::Milliseconds(10));
    open = peer.Send("x");
  }
  EXPECT_FALSE(open);
}

TEST(StatusPageTest, ABodyIsNeitherReadNorKept) {
  const auto page = StatusPage::Start("127.0.0.1:0", Quiet());
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_THAT(AnswerTo((*page)->port(), "POST / HTTP/1.1\r\n\r\nbody"),
              HasSubstr("405 Method Not Allowed"));
  for (const char* head :
       {"POST /livez HTTP/1.1\r\nContent-Length: 9000000000\r\n\r\n",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET /livez HTTP/1.1\r\nContent-Length: 9000000000\r\n\r\n"}) {
    Peer peer((*page)->port());
    ASSERT_TRUE(peer.Send(head));
    const std::string megabyte(1 << 20, 'x');
    int sent = 0;
    while (sent < 1000 && peer.Send(megabyte)) ++sent;
    EXPECT_LT(sent, 1000) << head;
  }
}

TEST(StatusPageTest, AnEndlessHeadIsRefused) {
  const auto page = StatusPage::Start("127.0.0.1:0", Quiet());
  ASSERT_TRUE(page.ok()) << page.status();
  const std::string head =
      absl::StrCat("GET /livez HTTP/1.1\r\nX: ", std::string(9000, 'x'));
  EXPECT_THAT(AnswerTo((*page)->port(), head), HasSubstr(" 431 "));
  EXPECT_THAT(AnswerTo((*page)->port(), "what is this\r\n\r\n"),
              HasSubstr(" 400 "));
  EXPECT_THAT(AnswerTo((*page)->port(), "HEAD /livez HTTP/1.0\r\n\r\n"),
              ::testing::AllOf(HasSubstr(" 200 OK"), HasSubstr("Length: 3"),
                               ::testing::EndsWith("\r\n\r\n")));
  EXPECT_THAT(AnswerTo((*page)->port(), "GET /readyz?verbose=1 HTTP/1.1\n\n"),
              ::testing::EndsWith("\r\n\r\nok\n"));
}

TEST(StatusPageTest, MetricsThatTakeLongHoldNoOtherPageUpAndAreShared) {
  base::Mutex gate;
  std::atomic<int> renders = 0;
  StatusSource source = Quiet();
  source.metrics = [&] {
    ++renders;
    base::MutexLock lock(&gate);
    return std::string("up 1\n");
  };
  const auto page =
      StatusPage::Start("127.0.0.1:0", source, absl::InfiniteDuration());
  ASSERT_TRUE(page.ok()) << page.status();
  gate.Lock();
  std::vector<std::unique_ptr<Peer>> scrapers;
  for (int i = 0; i < 50; ++i) {
    scrapers.push_back(std::make_unique<Peer>((*page)->port()));
    scrapers.back()->Send("GET /metrics HTTP/1.1\r\n\r\n");
  }
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Get((*page)->port(), "/livez")->status, 200);
    EXPECT_EQ(Get((*page)->port(), "/readyz")->status, 200);
  }
  gate.Unlock();
  for (const auto& scraper : scrapers) {
    EXPECT_THAT(scraper->ReadAll(), HasSubstr("\r\n\r\nup 1\n"));
  }
  EXPECT_LE(renders, 3);
}

}  // namespace
}  // namespace zeroshot::server
