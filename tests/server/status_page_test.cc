#include "server/status_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>
#include <string>

#include "absl/strings/str_cat.h"

namespace zeroshot::server {
namespace {

using ::testing::HasSubstr;

StatusSource Quiet() {
  return {.metrics = [] { return std::string("up 1\n"); },
          .live = [] { return absl::OkStatus(); },
          .ready = [] { return absl::OkStatus(); }};
}

httplib::Result Get(int port, const char* path) {
  return httplib::Client("127.0.0.1", port).Get(path);
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
  const auto page = StatusPage::Start("[::1]:0", source);
  const auto local = page.ok() ? StatusPage::Start("localhost:0", source)
                               : StatusPage::Start("127.0.0.1:0", source);
  ASSERT_TRUE(local.ok()) << local.status();
  const int port = (*local)->port();
  EXPECT_EQ(Get(port, "/livez")->status, 200);
  EXPECT_EQ(Get(port, "/readyz")->status, 503);
  EXPECT_EQ(Get(port, "/readyz")->body, "loading\n");
  ready = true;
  EXPECT_EQ(Get(port, "/readyz")->status, 200);
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

}  // namespace
}  // namespace zeroshot::server
