// zeroshot_client in the middle of its work when the server goes away.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "tests/e2e/programs.h"
#include "tests/testing/free_port.h"

namespace e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::vector<std::string> Lines(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

// More than a server answers before a test has seen the first.
std::vector<std::string> Images() {
  std::vector<std::string> images;
  for (int round = 0; round < 60; ++round) {
    for (const auto& entry :
         std::filesystem::directory_iterator(absl::StrCat(kModel, "/images"))) {
      images.push_back(entry.path());
    }
  }
  return images;
}

// A client that classifies all of them.
std::unique_ptr<Process> StartClassify(const std::string& address,
                                       const std::vector<std::string>& images,
                                       std::vector<std::string> flags) {
  flags.insert(flags.begin(), {kClient, "classify", "--json",
                               absl::StrCat("--target=", address),
                               "--classes=frog,apple,car", "--top_k=1"});
  flags.insert(flags.end(), images.begin(), images.end());
  return std::make_unique<Process>(flags);
}

void WaitForAnswers(const Process& client, size_t count) {
  const absl::Time end = absl::Now() + absl::Minutes(2);
  while (Lines(client.Output()).size() < count && absl::Now() < end) {
    absl::SleepFor(absl::Milliseconds(5));
  }
}

class RestartBySignalTest : public ::testing::TestWithParam<int> {};

TEST_P(RestartBySignalTest, EveryFileIsAnsweredOnce) {
  DemoServer server({"--drain_grace=0s",
                     absl::StrCat("--listen=127.0.0.1:", testing::FreePort())});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  const std::vector<std::string> images = Images();
  const auto client =
      StartClassify(server.address(), images, {"--wait_for_server=120s"});
  WaitForAnswers(*client, 20);
  server.process().Signal(GetParam());
  server.process().Wait();
  ASSERT_LT(Lines(client->Output()).size(), images.size());
  // Its weight sets were in memory: this one has none.
  const auto again = StartServer({absl::StrCat("--listen=", server.address())});
  EXPECT_EQ(client->Wait(), 0) << client->Errors();
  const std::vector<std::string> lines = Lines(client->Output());
  ASSERT_EQ(lines.size(), images.size()) << client->Errors();
  for (size_t i = 0; i < lines.size(); ++i) {
    ASSERT_THAT(lines[i],
                AllOf(StartsWith(absl::StrCat("{\"file\":\"", images[i], "\"")),
                      HasSubstr("\"predictions\":[{")));
  }
}

INSTANTIATE_TEST_SUITE_P(Signals, RestartBySignalTest,
                         ::testing::Values(SIGTERM, SIGKILL));

TEST(RestartTest, ClassifyStopsIfTheServerDoesNotComeBack) {
  DemoServer server({absl::StrCat("--listen=127.0.0.1:", testing::FreePort())});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  const std::vector<std::string> images = Images();
  const auto client = StartClassify(server.address(), images,
                                    {"--wait_for_server=1s", "--parallel=4"});
  WaitForAnswers(*client, 20);
  server.process().Signal(SIGKILL);
  EXPECT_EQ(client->Wait(), 1);
  const std::vector<std::string> lines = Lines(client->Output());
  const auto answered =
      std::count_if(lines.begin(), lines.end(), [](const std::string& line) {
        return absl::StrContains(line, "\"predictions\"");
      });
  const auto failed = static_cast<int64_t>(lines.size()) - answered;
  EXPECT_LE(failed, 4);
  const std::vector<std::string> errors = Lines(client->Errors());
  ASSERT_EQ(errors.size(), 2) << client->Errors();
  EXPECT_THAT(errors[0], HasSubstr("waiting up to 1.00 s for it"));
  EXPECT_THAT(
      std::string(absl::StrReplaceAll(errors[1], {{",", ""}})),
      StartsWith(absl::StrCat(
          answered, " of ", images.size(), " answered ", failed, " failed ",
          images.size() - answered - failed, " not tried; stopped because: ")));
}

TEST(RestartTest, HealthWaitsUntilTheNextServerServes) {
  DemoServer server({"--drain_grace=1s",
                     absl::StrCat("--listen=127.0.0.1:", testing::FreePort())});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  const std::string target = absl::StrCat("--target=", server.address());
  server.process().Signal(SIGTERM);
  ASSERT_NE(server.process().WaitForLine("draining"), "");
  // Asked all through the drain, also while the port closes.
  std::vector<std::unique_ptr<Process>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<Process>(
        std::vector<std::string>{kClient, "health", "--wait=120s", target}));
  }
  EXPECT_EQ(server.process().Wait(), 0);
  const auto again = StartServer({absl::StrCat("--listen=", server.address())});
  for (const auto& client : clients) {
    EXPECT_EQ(client->Wait(), 0) << client->Errors();
  }
}

}  // namespace
}  // namespace e2e
