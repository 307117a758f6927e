// Two servers behind haproxy, restarted one after the other under load: no
// call is lost. Skipped where haproxy is not installed.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/client.h"
#include "tests/e2e/programs.h"
#include "tests/testing/certificates.h"

namespace e2e {
namespace {

constexpr char kHaproxy[] = "/usr/sbin/haproxy";

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

struct Replica {
  int port = FreePort();
  int status_port = FreePort();
  std::unique_ptr<DemoServer> server;

  void Start() {
    server = std::make_unique<DemoServer>(std::vector<std::string>{
        absl::StrCat("--listen=127.0.0.1:", port),
        absl::StrCat("--metrics_listen=127.0.0.1:", status_port),
        "--drain_grace=1s"});
    ASSERT_NE(server->address(), "") << server->process().Errors();
  }

  void Restart() {
    server->process().Signal(SIGTERM);
    EXPECT_EQ(server->process().Wait(), 0) << server->process().Errors();
    Start();
  }
};

// Each call goes to either server that says on /readyz that it takes calls.
std::string Configuration(int port, const Replica& a, const Replica& b) {
  return absl::StrCat(R"(defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
listen zeroshot
  bind 127.0.0.1:)",
                      port, R"( proto h2
  balance roundrobin
  option httpchk
  http-check connect proto h1
  http-check send meth GET uri /readyz
  default-server proto h2 check inter 100ms fall 1 rise 1
  server a 127.0.0.1:)",
                      a.port, " port ", a.status_port,
                      "\n  server b 127.0.0.1:", b.port, " port ",
                      b.status_port, "\n");
}

TEST(RollingRestartTest, LosesNoCall) {
  if (access(kHaproxy, X_OK) != 0) GTEST_SKIP() << "no haproxy here";
  Replica a, b;
  a.Start();
  b.Start();
  const int port = FreePort();
  const std::string file = testing_certificates::NewFolder() + "/haproxy.cfg";
  std::ofstream(file) << Configuration(port, a, b);
  Process proxy({kHaproxy, "-db", "-f", file});

  const auto client =
      zeroshot::Client::Connect(absl::StrCat("127.0.0.1:", port));
  ASSERT_TRUE(client.ok()) << client.status();
  const absl::Time until = absl::Now() + absl::Seconds(30);
  while (!(*client)->GetModel().ok() && absl::Now() < until) {
    absl::SleepFor(absl::Milliseconds(20));
  }
  const std::string picture = testing_certificates::ReadFile(
      absl::StrCat(kModel, "/pictures/frog.png"));
  std::atomic<bool> go_on = true;
  std::atomic<int> calls = 0;
  std::vector<absl::Status> failed(4);
  std::vector<std::thread> threads;
  for (absl::Status& first_failure : failed) {
    threads.emplace_back([&] {
      while (go_on) {
        const auto rows = (*client)->EmbedImages({picture});
        ++calls;
        if (!rows.ok()) first_failure.Update(rows.status());
      }
    });
  }
  absl::SleepFor(absl::Milliseconds(300));
  a.Restart();
  absl::SleepFor(absl::Milliseconds(500));
  b.Restart();
  absl::SleepFor(absl::Milliseconds(500));
  // A slow machine takes longer to have made as many calls.
  const absl::Time enough_by = absl::Now() + absl::Seconds(10);
  while (calls <= 100 && absl::Now() < enough_by) {
    absl::SleepFor(absl::Milliseconds(20));
  }
  go_on = false;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(calls, 100);
  for (const absl::Status& status : failed) {
    EXPECT_TRUE(status.ok()) << status << "\n" << proxy.Errors();
  }
  proxy.Signal(SIGTERM);
  proxy.Wait();
}

}  // namespace
}  // namespace e2e
