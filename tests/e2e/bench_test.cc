// The load generator against the server, the real programs over TCP.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "tests/e2e/programs.h"

namespace e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

class BenchEndToEndTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(server_.address(), "") << server_.process().Errors();
  }

  // With windows that are so long that calls end in them, however busy this
  // machine is.
  Ran Bench(const std::vector<std::string>& flags,
            absl::Duration window = absl::Milliseconds(150)) {
    std::vector<std::string> command = {
        kClient, "bench", "--classes=apple,car,frog",
        absl::StrCat("--window=", absl::FormatDuration(window)),
        "--max_windows=3"};
    command.insert(command.end(), flags.begin(), flags.end());
    command.push_back(absl::StrCat(kModel, "/images/apple.png"));
    command.push_back(absl::StrCat(kModel, "/images/butterfly.jpg"));
    command.push_back(absl::StrCat("--target=", server_.address()));
    const Ran ran = RunToEnd(command);
    const bool too_short =
        absl::StrContains(ran.errors, "no call ended within");
    return too_short && window < absl::Seconds(20) ? Bench(flags, 4 * window)
                                                   : ran;
  }

  DemoServer server_;
};

TEST_F(BenchEndToEndTest, MeasuresAClosedLoopStageByStage) {
  const Ran ran = Bench({"--concurrency=1,4", "--json"});
  ASSERT_EQ(ran.exit, 0) << ran.errors;
  const std::vector<std::string> lines =
      absl::StrSplit(ran.output, '\n', absl::SkipEmpty());
  ASSERT_THAT(lines, SizeIs(2)) << ran.output;
  EXPECT_THAT(lines[0], StartsWith("{\"concurrency\":1,"));
  EXPECT_THAT(lines[1], StartsWith("{\"concurrency\":4,"));
  for (const std::string& line : lines) {
    EXPECT_THAT(line, AllOf(HasSubstr("\"errors\":{}"),
                            Not(HasSubstr("\"calls_per_second\":0,")),
                            Not(HasSubstr("\"compute\":0,"))));
  }
}

TEST_F(BenchEndToEndTest, MeasuresAnOpenLoop) {
  const Ran ran = Bench({"--rate=20"}, /*window=*/absl::Milliseconds(600));
  ASSERT_EQ(ran.exit, 0) << ran.errors;
  EXPECT_THAT(ran.output, HasSubstr("20 per second"));
}

TEST_F(BenchEndToEndTest, ASweepFindsALoadWithinItsBound) {
  // Long enough that some calls end in it on a machine that does other things.
  const Ran ran =
      Bench({"--sweep=rate", "--latency_bound=2s", "--percentile=50"},
            /*window=*/absl::Milliseconds(400));
  ASSERT_EQ(ran.exit, 0) << ran.errors;
  EXPECT_THAT(ran.output, HasSubstr("Best with p50 within 2000 ms: "));
}

}  // namespace
}  // namespace e2e
