// Connections by themselves: a handler of the test's own decides when an answer
// is there.
#include "server/http/http_server.h"

#include <gtest/gtest.h>
#include <httplib.h>

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/monotonic.h"
#include "server/http/exchange.h"

namespace zeroshot::server::http {
namespace {

// Answers a request when it is told to.
class LateHandler : public Handler {
 public:
  std::shared_ptr<Exchange> Begin(
      const Request&, const std::shared_ptr<Responder>& responder) override {
    struct Waiting : Exchange {
      int64_t max_body_bytes() const override { return 1 << 20; }
      absl::Status End() override {
        whole->set_value(std::move(responder));
        return absl::OkStatus();
      }
      std::promise<std::shared_ptr<Responder>>* whole;
      std::shared_ptr<Responder> responder;
    };
    auto exchange = std::make_shared<Waiting>();
    exchange->whole = &whole_;
    exchange->responder = responder;
    return exchange;
  }
  void Refused(const Request&, const absl::Status&) override {}
  void AddHeaders(const Request&, Response*) override {}

  void WaitForRequest() { responder_ = whole_.get_future().get(); }

  void Answer(const std::string& body) {
    // A connection goes before its server does.
    const std::shared_ptr<Responder> responder = std::move(responder_);
    responder->Post([responder = responder.get(), body] {
      Response response;
      response.body = body;
      responder->Answer(response);
    });
  }

 private:
  std::promise<std::shared_ptr<Responder>> whole_;
  std::shared_ptr<Responder> responder_;
};

// A server, and a client that waits for the answer to the one request it sent.
class HttpStopTest : public ::testing::Test {
 protected:
  void SetUp() override {
    HttpServer::Options options;
    options.listen = "127.0.0.1:0";
    auto server = HttpServer::Start(options, &handler_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = std::thread([this] {
      httplib::Client client("127.0.0.1", server_->port());
      client.set_read_timeout(60);
      const auto result = client.Post("/", "image", "image/png");
      if (result) got_ = result->body;
    });
    handler_.WaitForRequest();
  }

  // Empty: none.
  std::string WhatTheClientGot() {
    client_.join();
    return got_;
  }

  // How long clients have to take their answers.
  static constexpr absl::Duration kFlush = absl::Milliseconds(300);

  LateHandler handler_;
  std::unique_ptr<HttpServer> server_;

 private:
  std::string got_;
  std::thread client_;
};

TEST_F(HttpStopTest, ARequestThatWasReadHasItsAnswerHoweverLateItIs) {
  std::thread answer([this] {
    absl::SleepFor(3 * kFlush);
    handler_.Answer("late");
  });
  server_->Stop(base::MonotonicNow() + absl::Seconds(60), kFlush);
  answer.join();
  EXPECT_EQ(WhatTheClientGot(), "late");
}

TEST_F(HttpStopTest, AfterTheDeadlineNoAnswerIsWaitedFor) {
  server_->Stop(base::MonotonicNow(), kFlush);
  handler_.Answer("too late");
  EXPECT_EQ(WhatTheClientGot(), "");
}

}  // namespace
}  // namespace zeroshot::server::http
