#include "server/log.h"

#include <gmock/gmock.h>
#include <grpc/support/log.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace zeroshot::server {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

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
          R"(\{"time":"[0-9-]+T[0-9:.]+Z","level":"warn",)"
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

CallLine LineOf(const absl::Status& status) {
  return {"Classify",
          "ipv4:1.2.3.4:5",
          "id-1",
          {"4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"},
          "",
          status,
          absl::Milliseconds(2)};
}

// The line of one call. Not more than one test's worth of them a second.
std::string CallLogged(LogFormat format, LogLevel level,
                       const absl::Status& status) {
  return Logged(format, level, [&] { LogCall(LineOf(status)); });
}

TEST(LogTest, CallersFaultIsInfoAndOursIsError) {
  const auto line_of = [](const absl::Status& status) {
    return CallLogged(LogFormat::kText, LogLevel::kDebug, status);
  };
  EXPECT_THAT(line_of(absl::OkStatus()),
              HasSubstr("info Classify from ipv4:1.2.3.4:5 after 2.0 ms: OK "
                        "request=id-1 trace=4bf92f3577b34da6a3ce929d0e0e4736 "
                        "span=00f067aa0ba902b7"));
  EXPECT_THAT(line_of(absl::InvalidArgumentError("not {} an image")),
              HasSubstr("info Classify from ipv4:1.2.3.4:5 after 2.0 ms: "
                        "INVALID_ARGUMENT: not {} an image request=id-1"));
  EXPECT_THAT(line_of(absl::UnimplementedError("not offered")),
              HasSubstr("info Classify"));
  EXPECT_THAT(line_of(absl::ResourceExhaustedError("full")),
              HasSubstr("warn Classify"));
  EXPECT_THAT(line_of(absl::InternalError("broken")),
              HasSubstr("error Classify"));
}

TEST(LogTest, PromptsAreNotQuotedAtInfoLevel) {
  const absl::Status status =
      absl::InvalidArgumentError("prompt 'a secret' is too long");
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    const std::string line = CallLogged(format, LogLevel::kInfo, status);
    EXPECT_THAT(line, HasSubstr("INVALID_ARGUMENT"));
    EXPECT_THAT(line, Not(HasSubstr("secret")));
    EXPECT_THAT(CallLogged(format, LogLevel::kDebug, status),
                HasSubstr("secret"));
  }
}

TEST(LogTest, JsonCallsHaveFields) {
  EXPECT_THAT(
      CallLogged(LogFormat::kJson, LogLevel::kInfo,
                 absl::ResourceExhaustedError("a \"full\" house")),
      HasSubstr(R"("level":"warn","message":"call","method":"Classify",)"
                R"("code":"RESOURCE_EXHAUSTED","peer":"ipv4:1.2.3.4:5",)"
                R"("request_id":"id-1",)"
                R"("trace_id":"4bf92f3577b34da6a3ce929d0e0e4736",)"
                R"("span_id":"00f067aa0ba902b7",)"
                R"("error":"a \"full\" house","ms":2.0})"));
}

// Standard error is a pipe in this scope.
class ErrorPipe {
 public:
  ErrorPipe() : before_(dup(STDERR_FILENO)) {
    EXPECT_EQ(pipe(ends_), 0);
    dup2(ends_[1], STDERR_FILENO);
    close(ends_[1]);
  }
  ~ErrorPipe() {
    dup2(before_, STDERR_FILENO);
    close(before_);
    close(ends_[0]);
  }

  // Reads until `text` has come; false: it does not.
  bool ReadUntil(const std::string& text) {
    std::string all;
    char buffer[4096];
    while (all.find(text) == std::string::npos) {
      pollfd waiting{ends_[0], POLLIN, 0};
      if (poll(&waiting, 1, 20'000) <= 0) return false;
      const ssize_t got = read(ends_[0], buffer, sizeof(buffer));
      if (got <= 0) return false;
      all.append(buffer, got);
    }
    return true;
  }

 private:
  const int before_;
  int ends_[2] = {-1, -1};
};

TEST(LogTest, AReaderThatStopsReadingStopsNobody) {
  StartLog(LogFormat::kText, LogLevel::kInfo);
  ErrorPipe pipe;
  const std::string text(1000, 'x');
  // A pipe holds 64 KiB, the queue 1 MiB.
  for (int i = 0; i < 5'000; ++i) spdlog::info("{}", text);
  EXPECT_TRUE(pipe.ReadUntil(text));
  // While it reads again, what was lost is told with a line that comes later.
  std::thread writer([] {
    for (int i = 0; i < 2'000; ++i) {
      spdlog::info("later");
      absl::SleepFor(absl::Milliseconds(1));
    }
  });
  EXPECT_TRUE(pipe.ReadUntil(" lines of the log were dropped"));
  EXPECT_TRUE(pipe.ReadUntil("later\n"));
  std::thread reader([&pipe] { (void)pipe.ReadUntil("the end\n"); });
  writer.join();
  spdlog::info("the end");
  reader.join();
  spdlog::default_logger()->flush();
}

TEST(LogTest, FloodOfGrpcsLinesIsCutOff) {
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);  // as grpc_init does
  const std::string flood = Logged(LogFormat::kText, LogLevel::kInfo, [] {
    for (int i = 0; i < 1'000; ++i) {
      gpr_log("file", 1, GPR_LOG_SEVERITY_ERROR, "handshake failed");
    }
  });
  const auto lines = std::count(flood.begin(), flood.end(), '\n');
  // The flood may fall into two seconds.
  EXPECT_GE(lines, kMaxGrpcLinesPerSecond);
  EXPECT_LE(lines, 2 * kMaxGrpcLinesPerSecond + 1);
  absl::SleepFor(absl::Seconds(1));
  EXPECT_THAT(
      Logged(LogFormat::kText, LogLevel::kInfo,
             [] { gpr_log("file", 1, GPR_LOG_SEVERITY_ERROR, "again"); }),
      HasSubstr(" more lines left out"));
}

TEST(LogTest, FloodOfCallsIsCutOffAndItsSizeTold) {
  const auto lines = [](const std::string& text) {
    return std::count(text.begin(), text.end(), '\n');
  };
  absl::SleepFor(absl::Seconds(1));
  const std::string flood = Logged(LogFormat::kText, LogLevel::kInfo, [] {
    for (int i = 0; i < 10 * kMaxCallLinesPerSecond; ++i) {
      LogCall(LineOf(absl::OkStatus()));
    }
  });
  // The flood may fall into two seconds.
  EXPECT_GE(lines(flood), kMaxCallLinesPerSecond);
  EXPECT_LE(lines(flood), 2 * kMaxCallLinesPerSecond + 1);
  EXPECT_THAT(CallLogged(LogFormat::kText, LogLevel::kInfo,
                         absl::InternalError("broken")),
              HasSubstr("INTERNAL"));
  absl::SleepFor(absl::Seconds(1));
  EXPECT_THAT(CallLogged(LogFormat::kText, LogLevel::kInfo, absl::OkStatus()),
              HasSubstr("more calls ended and were not logged one by one"));
}

}  // namespace
}  // namespace zeroshot::server
