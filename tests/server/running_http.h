// A RunningServer with its HTTP port open, and a client of it.
#ifndef ZEROSHOT_TESTS_SERVER_RUNNING_HTTP_H_
#define ZEROSHOT_TESTS_SERVER_RUNNING_HTTP_H_

#include <gtest/gtest.h>
#include <httplib.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "tests/server/running_server.h"

namespace zeroshot::server {

// Thread rule: as RunningServer.
struct HttpServer : RunningServer {
  explicit HttpServer(const ServerOptions& options, bool serve = true)
      : RunningServer(options, serve) {
    const absl::Status listening = server().ListenHttp();
    EXPECT_TRUE(listening.ok()) << listening;
  }
};

inline ServerOptions WithHttp(ServerOptions options = {}) {
  options.http_listen = "127.0.0.1:0";
  return options;
}

inline std::unique_ptr<httplib::Client> ClientOf(RunningServer& running) {
  auto client = std::make_unique<httplib::Client>("127.0.0.1",
                                                  running.server().http_port());
  client->set_read_timeout(60);
  client->set_keep_alive(true);
  return client;
}

// The answer's JSON, which has that code.
inline nlohmann::json Expect(int code, const httplib::Result& result) {
  if (!result) {
    ADD_FAILURE() << "no answer: " << to_string(result.error());
    return {};
  }
  EXPECT_EQ(result->status, code) << result->body;
  return nlohmann::json::parse(result->body, nullptr,
                               /*allow_exceptions=*/false);
}

}  // namespace zeroshot::server

#endif  // ZEROSHOT_TESTS_SERVER_RUNNING_HTTP_H_
