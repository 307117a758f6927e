// Clients that are slow on purpose: they hold neither threads nor places for
// long.
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/e2e/load.h"
#include "tests/testing/slow_client.h"

namespace e2e {
namespace {

namespace v1 = zeroshot::v1;

// Many, to one server.
std::vector<std::unique_ptr<SlowClient>> SlowClients(
    int count, const std::string& address) {
  std::vector<std::unique_ptr<SlowClient>> clients;
  for (int i = 0; i < count; ++i) {
    clients.push_back(std::make_unique<SlowClient>(PortOf(address)));
    EXPECT_TRUE(clients.back()->connected());
  }
  return clients;
}

// Whether `call` goes well before the time is over, and how it went at last.
template <typename Call>
grpc::Status Within(absl::Duration time, Call call) {
  const absl::Time end = absl::Now() + time;
  grpc::Status status = call();
  while (!status.ok() && absl::Now() < end) {
    absl::SleepFor(absl::Milliseconds(100));
    status = call();
  }
  return status;
}

TEST(SlowClientsTest, WhoTakesNoAnswerHoldsNoThreadForLong) {
  DemoServer server({"--max_inflight=4"});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  Caller caller(server.address());
  ASSERT_TRUE(caller.Build().ok());
  // Far more calls than the server has threads, and their default patience is
  // longer than this test.
  const auto clients = SlowClients(10, server.address());
  bool answered = true;
  for (const auto& client : clients) {
    for (int i = 0; i < 50; ++i) {
      const uint32_t stream = client->Call("ListWeightSets", "");
      // One after another, until no thread is left: only so many may run at
      // once, and the others are refused.
      answered =
          answered && client->WaitForAnswer(stream, absl::Milliseconds(200));
    }
  }
  EXPECT_FALSE(answered) << "the threads were not used up";
  EXPECT_FALSE(caller.Classify().ok());
  const grpc::Status status =
      Within(absl::Seconds(20), [&] { return caller.Classify(); });
  ASSERT_TRUE(status.ok()) << status.error_message();
  // Those that are left wait on: they are no crowd.
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(caller.Classify().ok());
}

TEST(SlowClientsTest, WhoSendsARequestSlowlyHoldsNoPlace) {
  DemoServer server({"--max_inflight=2"});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  Caller caller(server.address());
  ASSERT_TRUE(caller.Build().ok());
  const auto clients = SlowClients(100, server.address());
  std::vector<uint32_t> streams;
  for (const auto& client : clients)
    streams.push_back(client->Begin("Classify", 1'000'000));
  for (int i = 0; i < 20; ++i) {
    for (size_t c = 0; c < clients.size(); ++c)
      clients[c]->Send(streams[c], "x", false);
    const grpc::Status status = caller.Classify(absl::Seconds(5));
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
}

TEST(SlowClientsTest, RequestsThatNeverEndDoNotFillTheMemory) {
  DemoServer server({"--receive_memory_bytes=67108864"});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  Caller caller(server.address());
  ASSERT_TRUE(caller.Build().ok());
  ASSERT_TRUE(caller.Classify().ok());
  const int64_t before = ResidentBytes(server.process().pid());
  ASSERT_GT(before, 10'000'000);
  constexpr int64_t kSize = 30'000'000;
  const auto clients = SlowClients(12, server.address());
  int filled = 0;
  for (const auto& client : clients) {
    const uint32_t stream = client->Begin("Classify", kSize + 1);
    if (client->Fill(stream, kSize, absl::Seconds(1))) ++filled;
    // To have memory again gRPC also closes idle connections; a call that was
    // about to use one is Unavailable and must be made again.
    const grpc::Status status = Within(
        absl::Seconds(5), [&] { return caller.Classify(absl::Seconds(5)); });
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  const double more = (ResidentBytes(server.process().pid()) - before) / 1e6;
  std::printf("%d of 12 requests of 30 MB were taken; %.0f MB more\n", filled,
              more);
  EXPECT_LT(more, 180);
}

TEST(SlowClientsTest, WhoStopsInTheMiddleOfAnImportLosesItsPlace) {
  DemoServer server({"--client_patience=2s"});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  Caller caller(server.address());
  ASSERT_TRUE(caller.Build().ok());
  const auto clients = SlowClients(4, server.address());
  for (const auto& client : clients) client->Begin("ImportWeightSet", 1'000);
  absl::SleepFor(absl::Milliseconds(300));
  const auto stub = v1::ZeroShot::NewStub(grpc::CreateChannel(
      server.address(), grpc::InsecureChannelCredentials()));
  const auto read = [&] {
    grpc::ClientContext context;
    v1::ExportWeightSetRequest request;
    request.set_weight_set_id(caller.weight_set_id());
    const auto reader = stub->ExportWeightSet(&context, request);
    v1::ExportWeightSetResponse piece;
    while (reader->Read(&piece)) {
    }
    return reader->Finish();
  };
  EXPECT_EQ(read().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  const grpc::Status status = Within(absl::Seconds(10), read);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

}  // namespace
}  // namespace e2e
