// The system's clock jumps by an hour, there and back, and nothing comes of it:
// whatever waits or measures goes by a clock that does not jump.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/e2e/load.h"

namespace e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing_certificates::Authority;
using testing_certificates::NewFolder;

namespace v1 = zeroshot::v1;

// A server whose system clock can be moved (tests/testing/clock_jump.c).
class ServerInTime {
 public:
  explicit ServerInTime(const std::vector<std::string>& more_flags) {
    const std::string file = NewFolder() + "/offset";
    std::ofstream(file) << std::string(sizeof(int64_t), '\0');
    const int fd = open(file.c_str(), O_RDWR);
    void* place = mmap(nullptr, sizeof(int64_t), PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    EXPECT_NE(place, MAP_FAILED);
    offset_ = static_cast<volatile int64_t*>(place);
    std::vector<std::string> arguments = {"/usr/bin/env",
                                          "LD_PRELOAD=" ZEROSHOT_CLOCK_JUMP,
                                          "CLOCK_JUMP_FILE=" + file,
                                          kServer,
                                          "--metrics_listen=",
                                          "--listen=127.0.0.1:0"};
    arguments.insert(arguments.end(), more_flags.begin(), more_flags.end());
    process_ = std::make_unique<Process>(arguments);
    address_ = AddressOf(*process_);
  }

  void Jump(absl::Duration by) {
    *offset_ = *offset_ + absl::ToInt64Nanoseconds(by);
  }

  Process& process() { return *process_; }
  const std::string& address() const { return address_; }  // empty: failed

 private:
  volatile int64_t* offset_;
  std::unique_ptr<Process> process_;
  std::string address_;
};

constexpr absl::Duration kJumps[] = {absl::Hours(1), absl::Hours(-2),
                                     absl::Hours(1)};

TEST(ClockTest, TheClockReallyJumps) {
  ServerInTime server({"--log_format=json"});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  server.Jump(absl::Hours(24 * 365 * 100));
  RunToEnd({kClient, "model", "--target=" + server.address()});
  EXPECT_NE(server.process().WaitForLine("{\"time\":\"21"), "");
}

TEST(ClockTest, CallsWatchdogBuildsAndDrainGoOn) {
  ServerInTime server(
      {"--watchdog_timeout=4s", "--max_builds=1", "--drain_grace=1s"});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  Caller caller(server.address());
  ASSERT_TRUE(caller.Build().ok());
  const auto stub = v1::ZeroShot::NewStub(grpc::CreateChannel(
      server.address(), grpc::InsecureChannelCredentials()));
  for (const absl::Duration jump : kJumps) {
    auto load = std::async(std::launch::async,
                           [&] { return caller.Load(2, absl::Seconds(3)); });
    absl::SleepFor(absl::Milliseconds(500));
    server.Jump(jump);
    const Outcome outcome = load.get();
    EXPECT_GT(outcome.ok.size(), 0);
    EXPECT_EQ(outcome.refused.size() + outcome.failed.size(), 0)
        << jump << ": "
        << (outcome.failed.empty() ? "" : outcome.failed[0].error_message());
    EXPECT_EQ(
        RunToEnd({kClient, "health", "--target=" + server.address()}).exit, 0)
        << jump;

    // A build that nobody waits for any more gives its place back.
    v1::BuildClassifierRequest endless;
    for (int i = 0; i < 200'000; ++i) {
      endless.add_classes()->set_name(absl::StrCat("thing number ", i));
    }
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(1)));
    v1::BuildClassifierResponse response;
    EXPECT_EQ(stub->BuildClassifier(&context, endless, &response).error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
    grpc::Status built;
    for (int i = 0; i < 200; ++i) {
      grpc::ClientContext next;
      v1::BuildClassifierRequest request;
      request.add_classes()->set_name(
          absl::StrCat("after ", absl::FormatDuration(jump)));
      built = stub->BuildClassifier(&next, request, &response);
      if (built.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED) break;
      absl::SleepFor(absl::Milliseconds(50));
    }
    EXPECT_TRUE(built.ok()) << jump << " " << built.error_message();
  }
  EXPECT_THAT(server.process().Errors(), Not(HasSubstr(" error ")));
  server.process().Signal(SIGTERM);
  ASSERT_NE(server.process().WaitForLine("draining"), "");
  server.Jump(absl::Hours(-1));
  EXPECT_EQ(server.process().Wait(absl::Seconds(30)), 0)
      << server.process().Errors();
}

TEST(ClockTest, TokensAndCertificatesAreStillReadAgain) {
  const std::string folder = NewFolder();
  const Authority first(NewFolder()), second(NewFolder());
  first.Sign("server");
  second.Sign("server");
  const auto use = [&](const Authority& authority) {
    using std::filesystem::copy_options;
    for (const auto& [from, to] :
         {std::pair(authority.KeyFile("server"), folder + "/key"),
          std::pair(authority.CertFile("server"), folder + "/cert")}) {
      std::filesystem::copy_file(from, to, copy_options::overwrite_existing);
    }
  };
  use(first);
  // printf %s shop-token | sha256sum
  const std::string line =
      "shop classify "
      "88cc4600551e64b7cb97dd7f63ebad405255e5d17bdd71ee9fe1ed5cc20d0b3b\n";
  std::ofstream(folder + "/tokens")
      << "nobody classify " << std::string(64, '0') << "\n";
  std::ofstream(folder + "/token") << "shop-token\n";
  ServerInTime server({"--tls_cert=" + folder + "/cert",
                       "--tls_key=" + folder + "/key",
                       "--auth_tokens=" + folder + "/tokens"});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  const auto ask = [&](const Authority& authority) {
    return RunToEnd({kClient, "model", "--target=" + server.address(),
                     "--timeout=2s", "--tls_ca=" + authority.CaFile(),
                     "--token_file=" + folder + "/token"})
        .exit;
  };
  const auto asked = [&](const Authority& authority) {
    const absl::Time until = absl::Now() + absl::Seconds(30);
    while (ask(authority) != 0 && absl::Now() < until) {
      absl::SleepFor(absl::Milliseconds(200));
    }
    return ask(authority);
  };
  EXPECT_NE(ask(first), 0);
  server.Jump(absl::Hours(-1));
  std::ofstream(folder + "/tokens") << line;
  EXPECT_EQ(asked(first), 0) << server.process().Errors();
  // gRPC's watcher of certificates goes by the system's clock: until that has
  // come again to where it was, it looks at nothing (docs/tls_and_tokens.md).
  server.Jump(absl::Hours(2));
  use(second);
  EXPECT_EQ(asked(second), 0) << server.process().Errors();
}

}  // namespace
}  // namespace e2e
