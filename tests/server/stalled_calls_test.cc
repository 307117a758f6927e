// Clients that take no answer or send slowly, over real connections: what is
// ended, what is not, and what the client is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "tests/server/running_server.h"
#include "tests/testing/slow_client.h"
#include "tests/testing/temporary_folder.h"

namespace zeroshot::server {
namespace {

using ::testing::HasSubstr;

// A .npy of `count` classes of the fake model's 64 dimensions.
std::string Npy(int count) {
  const std::string header = absl::StrCat(
      "{'descr': '<f4', 'fortran_order': False, 'shape': (", count, ", 64), }");
  std::vector<float> rows(count * 64);
  for (int c = 0; c < count; ++c) rows[c * 64 + c % 64] = 1;
  return absl::StrCat(
      absl::string_view("\x93NUMPY\x01\x00", 8),
      std::string{static_cast<char>(header.size()), 0}, header,
      absl::string_view(reinterpret_cast<const char*>(rows.data()),
                        rows.size() * sizeof(float)));
}

int StalledEnded(RunningServer& running) {
  const std::string metrics = running.server().status_source().metrics();
  std::smatch found;
  int count = -1;
  if (std::regex_search(
          metrics, found,
          std::regex("\nzeroshot_calls_stalled_total ([0-9]+)"))) {
    EXPECT_TRUE(absl::SimpleAtoi(found[1].str(), &count));
  }
  return count;
}

struct Import {
  Context context;
  v1::ImportWeightSetResponse response;
  std::unique_ptr<grpc::ClientWriter<v1::ImportWeightSetRequest>> writer;

  explicit Import(RunningServer& running)
      : writer(running.stub().ImportWeightSet(&context, &response)) {
    v1::ImportWeightSetRequest header;
    header.mutable_header();
    EXPECT_TRUE(writer->Write(header));
  }

  bool Write(const std::string& data) {
    v1::ImportWeightSetRequest piece;
    piece.set_data(data);
    return writer->Write(piece);
  }
};

TEST(StalledCallsTest, ACrowdOfStalledCallsEndsNoImportThatWaits) {
  RunningServer running;
  Import import(running);
  std::vector<std::unique_ptr<SlowClient>> clients;
  constexpr int kClients = 10, kCalls = 10;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<SlowClient>(running.server().port()));
    for (int call = 0; call < kCalls; ++call) {
      // One after another: only so many may run at once.
      const uint32_t stream = clients.back()->Call("GetModel", "");
      ASSERT_TRUE(clients.back()->WaitForAnswer(stream, absl::Seconds(20)));
    }
  }
  // The crowd is ended until it is none: not the import, which has waited for
  // longer than each of them.
  constexpr int kCrowd = StalledCalls::Options().crowd;
  const absl::Time end = absl::Now() + absl::Seconds(60);
  while (StalledEnded(running) < kClients * kCalls - kCrowd &&
         absl::Now() < end) {
    absl::SleepFor(absl::Milliseconds(20));
  }
  EXPECT_EQ(StalledEnded(running), kClients * kCalls - kCrowd);
  v1::ImportWeightSetRequest names;
  names.mutable_header()->add_class_names("x");
  names.mutable_header()->add_class_names("y");
  EXPECT_TRUE(import.writer->Write(names));
  EXPECT_TRUE(import.Write(Npy(2)));
  import.writer->WritesDone();
  const grpc::Status status = import.writer->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST(StalledCallsTest, WhoStopsInTheMiddleIsToldWhy) {
  ServerOptions options;
  options.client_patience = absl::Seconds(1);
  RunningServer running(options);
  Import import(running);
  ASSERT_TRUE(import.Write("x"));
  const grpc::Status status = import.writer->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(
      status.error_message(),
      ::testing::AllOf(HasSubstr("the server waited "),
                       HasSubstr("1s are allowed (--client_patience)")));
}

TEST(StalledCallsTest, ADrippingImportLosesItsPlace) {
  ServerOptions options;
  options.client_patience = absl::Seconds(1);
  RunningServer running(options);
  for (const char* piece : {"x", ""}) {
    Import import(running);
    // Each piece comes far within any patience with one piece.
    const absl::Time end = absl::Now() + absl::Seconds(50);
    while (import.Write(piece) && absl::Now() < end) {
      absl::SleepFor(absl::Milliseconds(10));
    }
    const grpc::Status status = import.writer->Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
    EXPECT_THAT(status.error_message(),
                HasSubstr("65536 bytes per second are needed "
                          "(--min_transfer_rate)"));
  }
}

TEST(StalledCallsTest, AnExportTakenInSipsLosesItsPlace) {
  const testing::TemporaryFolder folder;
  ServerOptions options;
  options.disk_store = folder.path();
  v1::ExportWeightSetRequest request;
  {
    RunningServer patient(options);
    constexpr int kClasses = 200'000;  // 51 MB
    std::vector<std::string> names;
    for (int c = 0; c < kClasses; ++c) names.push_back(absl::StrCat("c", c));
    const auto client = *client::Client::Connect(
        absl::StrCat("127.0.0.1:", patient.server().port()));
    const auto imported = client->Import(Npy(kClasses), {.class_names = names});
    ASSERT_TRUE(imported.ok()) << imported.status();
    request.set_weight_set_id(imported->weight_set().weight_set_id());
  }
  options.client_patience = absl::Seconds(1);
  options.min_transfer_rate = int64_t{1} << 40;
  RunningServer running(options);
  Context context;
  const auto reader = running.stub().ExportWeightSet(&context, request);
  v1::ExportWeightSetResponse piece;
  while (reader->Read(&piece)) absl::SleepFor(absl::Milliseconds(100));
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(), HasSubstr("--min_transfer_rate"));
}

}  // namespace
}  // namespace zeroshot::server
