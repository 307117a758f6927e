#include "server/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace zeroshot::server {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

// What `write` makes the log say.
template <typename Write>
std::string Logged(LogFormat format, LogLevel level, Write write) {
  ::testing::internal::CaptureStderr();
  StartLog(format, level);
  write();
  spdlog::default_logger()->flush();
  return ::testing::internal::GetCapturedStderr();
}

TEST(LogTest, TextHasTimeLevelAndMessage) {
  EXPECT_THAT(Logged(LogFormat::kText, LogLevel::kInfo,
                     [] { spdlog::info("it is {} o'clock", 5); }),
              MatchesRegex("[0-9-]+ [0-9:.]+ info it is 5 o'clock\n"));
}

TEST(LogTest, JsonIsOneObjectALineWhateverTheMessage) {
  EXPECT_THAT(
      Logged(LogFormat::kJson, LogLevel::kInfo,
             [] { spdlog::warn("a \"quote\", a \\ and\na line"); }),
      MatchesRegex(
          R"(\{"time":"[0-9-]+T[0-9:.]+Z","level":"warning",)"
          R"("message":"a \\"quote\\", a \\\\ and\\u000aa line"\}[^\n]*)"
          "\n"));
}

TEST(LogTest, EscapesWhatJsonForbidsAndKeepsUtf8) {
  EXPECT_EQ(JsonEscaped("tab\t \x01 ü"), "tab\\u0009 \\u0001 ü");
}

TEST(LogTest, LeavesOutWhatIsBelowTheLevel) {
  EXPECT_EQ(Logged(LogFormat::kText, LogLevel::kWarn,
                   [] { spdlog::info("unimportant"); }),
            "");
}

TEST(LogTest, CallersFaultIsInfoAndOursIsError) {
  const auto line_of = [](const absl::Status& status) {
    return Logged(LogFormat::kText, LogLevel::kDebug, [&] {
      LogCall("Classify", "ipv4:1.2.3.4:5", status, absl::Milliseconds(2));
    });
  };
  EXPECT_THAT(line_of(absl::OkStatus()),
              HasSubstr("debug Classify from ipv4:1.2.3.4:5 after 2.0 ms: OK"));
  EXPECT_THAT(line_of(absl::InvalidArgumentError("not {} a picture")),
              HasSubstr("info Classify from ipv4:1.2.3.4:5 after 2.0 ms: "
                        "INVALID_ARGUMENT: not {} a picture"));
  EXPECT_THAT(line_of(absl::ResourceExhaustedError("full")),
              HasSubstr("warning Classify"));
  EXPECT_THAT(line_of(absl::InternalError("broken")),
              HasSubstr("error Classify"));
}

}  // namespace
}  // namespace zeroshot::server
