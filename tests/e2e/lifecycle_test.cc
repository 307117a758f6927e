// How the server program starts, refuses to start, and stops.
#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <future>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "tests/e2e/programs.h"
#include "tests/testing/temporary_folder.h"
#include "zeroshot/v1/zeroshot.grpc.pb.h"

namespace e2e {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

namespace v1 = zeroshot::v1;

// A build under way on a server.
class RunningBuild {
 public:
  RunningBuild(const std::string& address, int num_classes) {
    v1::BuildClassifierRequest request;
    for (int i = 0; i < num_classes; ++i) {
      request.add_classes()->set_name(absl::StrCat("thing number ", i));
    }
    stub_ = v1::ZeroShot::NewStub(
        grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
    reader_ = stub_->BuildClassifierStream(&context_, request);
    // The first event shows that the server is at it.
    started_ = reader_->Read(&event_) && event_.has_progress();
  }

  bool started() const { return started_; }

  grpc::Status Finish() {
    while (reader_->Read(&event_)) {
    }
    return reader_->Finish();
  }

  const v1::BuildClassifierStreamResponse& last_event() const { return event_; }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<v1::ZeroShot::Stub> stub_;
  std::unique_ptr<grpc::ClientReader<v1::BuildClassifierStreamResponse>>
      reader_;
  v1::BuildClassifierStreamResponse event_;
  bool started_ = false;
};

// Far more prompts than any machine encodes within a test.
constexpr int kEndless = 200'000;

TEST(LifecycleTest, SigtermTurnsHealthFirstAndServesDuringTheGrace) {
  DemoServer server({"--drain_grace=2s"});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  const std::string target = "--target=" + server.address();
  EXPECT_EQ(RunToEnd({kClient, "health", target}).exit, 0);
  server.process().Signal(SIGTERM);
  ASSERT_NE(server.process().WaitForLine("draining"), "");
  EXPECT_EQ(RunToEnd({kClient, "health", target}).exit, 1);
  const Ran ran = RunToEnd({kClient, "classify", "--classes=frog,apple",
                            absl::StrCat(kModel, "/images/frog.png"), target});
  EXPECT_EQ(ran.exit, 0) << ran.errors;
  EXPECT_EQ(server.process().Wait(), 0);
  EXPECT_THAT(server.process().Errors(), HasSubstr("every call was finished"));
}

TEST(LifecycleTest, BuildInFlightEndsWithUnavailable) {
  DemoServer server({"--drain_grace=0s"});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  RunningBuild build(server.address(), kEndless);
  ASSERT_TRUE(build.started());
  server.process().Signal(SIGTERM);
  const grpc::Status status = build.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("the server is stopping"));
  EXPECT_EQ(server.process().Wait(), 0);
  EXPECT_THAT(server.process().Errors(), HasSubstr("every call was finished"));
}

TEST(LifecycleTest, DrainTimeoutCutsOffWhatGoesOn) {
  DemoServer server({"--drain_timeout=200ms", "--drain_grace=0s",
                     "--max_answer_bytes=1GiB",
                     absl::StrCat("--max_batch_items=", kEndless)});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  v1::EmbedTextsRequest request;
  for (int i = 0; i < kEndless; ++i) {
    request.add_texts(absl::StrCat(i, " things"));
  }
  const auto stub = v1::ZeroShot::NewStub(grpc::CreateChannel(
      server.address(), grpc::InsecureChannelCredentials()));
  auto call = std::async(std::launch::async, [&] {
    grpc::ClientContext context;
    v1::EmbedTextsResponse response;
    return stub->EmbedTexts(&context, request, &response);
  });
  // Long enough to arrive, far too short to be done.
  absl::SleepFor(absl::Seconds(1));
  server.process().Signal(SIGTERM);
  EXPECT_FALSE(call.get().ok());
  EXPECT_EQ(server.process().Wait(), 0);
  EXPECT_THAT(server.process().Errors(), HasSubstr("1 calls were cut off"));
}

TEST(LifecycleTest, SecondSignalExitsAtOnce) {
  DemoServer server({"--drain_grace=1h"});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  server.process().Signal(SIGTERM);
  ASSERT_NE(server.process().WaitForLine("draining"), "");
  server.process().Signal(SIGINT);
  EXPECT_EQ(server.process().Wait(), 128 + SIGINT);
}

TEST(LifecycleTest, SignalWhileLoadingExitsWithZero) {
  const auto server = StartServer();
  ASSERT_NE(server->WaitForLine("loading the model"), "");
  server->Signal(SIGINT);
  EXPECT_EQ(server->Wait(), 0);
}

TEST(LifecycleTest, PortInUseIsAClearError) {
  const auto first = StartServer();
  const std::string line = first->WaitForLine("listening on");
  const size_t begin = line.find("127.0.0.1:");
  ASSERT_NE(begin, line.npos) << first->Errors();
  const std::string address = line.substr(begin, line.find(',', begin) - begin);
  const Ran second = RunToEnd({kServer, "--listen=" + address});
  EXPECT_EQ(second.exit, 1);
  EXPECT_THAT(second.errors,
              AllOf(HasSubstr(absl::StrCat("cannot listen on ", address,
                                           ": the port is in use")),
                    Not(HasSubstr("grpc: "))));
}

TEST(LifecycleTest, WrongCommandLineIsNamed) {
  const auto errors = [](const std::string& argument, int exit) {
    const Ran ran = RunToEnd({kServer, argument});
    EXPECT_EQ(ran.exit, exit) << argument;
    return ran.errors;
  };
  EXPECT_THAT(
      errors("--max_batch=-1", 2),
      StartsWith("zeroshot_server: --max_batch=-1 is not allowed: it must be a "
                 "whole number from 0 to 4096"));
  EXPECT_THAT(errors("--listen=nowhere", 2), HasSubstr("HOST:PORT"));
  EXPECT_THAT(errors("--model=/no/such/model", 2),
              HasSubstr("--model=/no/such/model: no such file or folder"));
  EXPECT_THAT(errors("stray", 2), HasSubstr("unexpected argument 'stray'"));
  EXPECT_THAT(errors("--max_batches=3", 2),
              HasSubstr("did you mean --max_batch?"));
  EXPECT_THAT(errors("--threads=many", 2), HasSubstr("from 0 to 1024"));
  EXPECT_THAT(errors("--drain_grace=soon", 2), HasSubstr("1m30s"));
  EXPECT_THAT(errors("--disk_store_bytes=1GX", 2), HasSubstr("1.5GiB"));
  EXPECT_THAT(errors("--fast_decode=maybe", 2), HasSubstr("true or false"));
  EXPECT_THAT(errors("--flagfile=/no/such", 2), HasSubstr("/no/such"));
}

TEST(LifecycleTest, FileThatIsNoCheckpointIsAnError) {
  const ::testing::TemporaryFolder folder;
  const std::string path = folder.path() + "/no_checkpoint.pt";
  std::ofstream(path) << "not a checkpoint";
  const Ran ran = RunToEnd({kServer, "--listen=127.0.0.1:0",
                            "--metrics_listen=", "--model=" + path});
  EXPECT_EQ(ran.exit, 1);
  EXPECT_THAT(ran.errors, HasSubstr("error cannot load the model: "));
}

TEST(LifecycleTest, FlagFileAndJsonLog) {
  const ::testing::TemporaryFolder folder;
  const std::string path = folder.path() + "/server.flags";
  std::ofstream(path) << "--listen=127.0.0.1:0\n--log_format=json\n";
  const auto server = StartServer({"--flagfile=" + path});
  ASSERT_NE(AddressOf(*server), "") << server->Errors();
  server->Signal(SIGINT);
  EXPECT_EQ(server->Wait(), 0);
  for (absl::string_view line :
       absl::StrSplit(server->Errors(), '\n', absl::SkipEmpty())) {
    EXPECT_THAT(std::string(line),
                AllOf(StartsWith("{\"time\":\""), EndsWith("\"}")));
  }
}

TEST(LifecycleTest, HelpAndVersionAnswer) {
  const Ran help = RunToEnd({kServer, "--help"});
  EXPECT_THAT(help.output, AllOf(HasSubstr("--model"), HasSubstr("--listen"),
                                 HasSubstr("--drain_timeout")));
  EXPECT_THAT(RunToEnd({kServer, "--version"}).output, StartsWith("zeroshot "));
}

}  // namespace
}  // namespace e2e
