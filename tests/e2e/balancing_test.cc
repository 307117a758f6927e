// Two servers behind haproxy, behind Envoy, and behind one DNS name: calls are
// spread evenly, and none is lost when a server is killed or all are restarted.
// What is not on this machine is skipped; scripts/test-containers fetches it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "client/client.h"
#include "tests/e2e/balancers.h"
#include "tests/testing/certificates.h"

namespace e2e {
namespace {

class BalancingTest : public ::testing::TestWithParam<Balancer> {
 protected:
  void SetUp() override {
    if (ProgramOf(GetParam()).empty()) GTEST_SKIP() << "not on this machine";
    if (GetParam() == Balancer::kDns) {
      // A name has many addresses but one port.
      a_.host = "127.0.0.2";
      b_.host = "127.0.0.3";
      b_.port = a_.port;
    }
    a_.Start();
    b_.Start();
    balancer_ = Start(GetParam(), a_, b_);
    client_ = *zeroshot::Client::Connect(
        balancer_.target, {.watch_health = GetParam() == Balancer::kDns});
    const absl::Time until = absl::Now() + absl::Seconds(30);
    while ((a_.EmbedImagesCalls() == 0 || b_.EmbedImagesCalls() == 0) &&
           absl::Now() < until) {
      (void)client_->EmbedImages({image_});
    }
  }

  void TearDown() override {
    if (balancer_.process == nullptr) return;
    balancer_.process->Signal(SIGTERM);
    balancer_.process->Wait();
  }

  // The failures of calls that four threads make, one after the other, while
  // `disturb` goes on.
  std::vector<absl::Status> FailuresDuring(
      const std::function<void()>& disturb) {
    std::atomic<bool> go_on = true;
    std::atomic<int> calls = 0;
    std::vector<std::vector<absl::Status>> failed(4);
    std::vector<std::thread> threads;
    for (std::vector<absl::Status>& mine : failed) {
      threads.emplace_back([&] {
        while (go_on) {
          const auto rows = client_->EmbedImages({image_});
          ++calls;
          if (!rows.ok()) mine.push_back(rows.status());
        }
      });
    }
    absl::SleepFor(absl::Milliseconds(500));
    disturb();
    absl::SleepFor(absl::Milliseconds(500));
    go_on = false;
    for (std::thread& thread : threads) thread.join();
    EXPECT_GT(calls, 50);
    std::vector<absl::Status> all;
    for (const auto& some : failed) {
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }

  Replica a_, b_;
  Running balancer_;
  std::unique_ptr<zeroshot::Client> client_;
  const std::string image_ =
      testing_certificates::ReadFile(std::string(kModel) + "/images/frog.png");
};

TEST_P(BalancingTest, SpreadsCallsWithinATenth) {
  const int64_t a = a_.EmbedImagesCalls(), b = b_.EmbedImagesCalls();
  for (int i = 0; i < 400; ++i) {
    ASSERT_TRUE(client_->EmbedImages({image_}).ok());
  }
  EXPECT_NEAR(a_.EmbedImagesCalls() - a, 200, 20);
  EXPECT_NEAR(b_.EmbedImagesCalls() - b, 200, 20);
}

TEST_P(BalancingTest, LosesNoCallWhenAServerIsKilled) {
  EXPECT_THAT(FailuresDuring([&] {
                a_.server->process().Signal(SIGKILL);
                a_.server->process().Wait();
                absl::SleepFor(absl::Seconds(2));
                a_.Start();
                absl::SleepFor(absl::Seconds(2));
              }),
              ::testing::IsEmpty());
}

TEST_P(BalancingTest, LosesNoCallWhenServersAreRestartedInTurn) {
  EXPECT_THAT(FailuresDuring([&] {
                for (Replica* replica : {&a_, &b_}) {
                  replica->Stop();
                  replica->Start();
                  absl::SleepFor(absl::Seconds(2));
                }
              }),
              ::testing::IsEmpty());
}

std::string Name(const ::testing::TestParamInfo<Balancer>& info) {
  return info.param == Balancer::kHaproxy ? "Haproxy"
         : info.param == Balancer::kEnvoy ? "Envoy"
                                          : "Dns";
}

INSTANTIATE_TEST_SUITE_P(, BalancingTest,
                         ::testing::Values(Balancer::kHaproxy, Balancer::kEnvoy,
                                           Balancer::kDns),
                         Name);

// Clients that balance themselves ask for addresses when a connection ends.
TEST(DnsTest, ANewServerIsFoundWhenAConnectionHasItsAge) {
  if (ProgramOf(Balancer::kDns).empty()) GTEST_SKIP() << "no dnsmasq here";
  Replica a, b;
  a.host = "127.0.0.2";
  a.more_flags = {"--max_connection_age=1s"};
  b.host = "127.0.0.3";
  b.port = a.port;
  a.Start();
  b.Start();
  const Running dns = Start(Balancer::kDns, a, a);
  const auto client = *zeroshot::Client::Connect(dns.target);
  ASSERT_TRUE(client->Health(absl::Seconds(30)).ok()) << dns.process->Errors();
  const std::string image =
      testing_certificates::ReadFile(std::string(kModel) + "/images/frog.png");
  const auto call_until = [&](absl::Duration time) {
    const absl::Time until = absl::Now() + time;
    while (b.EmbedImagesCalls() == 0 && absl::Now() < until) {
      const auto rows = client->EmbedImages({image});
      ASSERT_TRUE(rows.ok()) << rows.status();
    }
  };
  call_until(absl::Seconds(3));
  EXPECT_EQ(b.EmbedImagesCalls(), 0);
  SetAddresses(dns, {a.host, b.host});
  call_until(absl::Seconds(20));
  EXPECT_GT(b.EmbedImagesCalls(), 0);
}

}  // namespace
}  // namespace e2e
