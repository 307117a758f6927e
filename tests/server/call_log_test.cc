// What a call leaves in the log, as the server writes it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/log.h"
#include "tests/server/running_server.h"

namespace zeroshot::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr char kSpan[] = "00f067aa0ba902b7";

// The log of a GetModel call for each traceparent; none of an empty one. Called
// once in a process: a log that is replaced must not be written to any more.
std::string LogOfCalls(const std::vector<std::string>& traceparents,
                       LogFormat format) {
  ::testing::internal::CaptureStderr();
  StartLog(format, LogLevel::kInfo);
  {
    RunningServer running;
    for (const std::string& traceparent : traceparents) {
      Context context;
      if (!traceparent.empty()) {
        context.AddMetadata("traceparent", traceparent);
      }
      v1::GetModelResponse response;
      EXPECT_TRUE(running.stub().GetModel(&context, {}, &response).ok());
    }
  }
  FlushLog();
  return ::testing::internal::GetCapturedStderr();
}

std::string Sent() { return absl::StrCat("00-", kTrace, "-", kSpan, "-01"); }

TEST(CallLogTest, TextNamesTheCallersSpanWithoutAnyTracing) {
  EXPECT_THAT(LogOfCalls({Sent()}, LogFormat::kText),
              HasSubstr(absl::StrCat(" trace=", kTrace, " span=", kSpan)));
}

TEST(CallLogTest, JsonNamesTheCallersSpanWithoutAnyTracing) {
  EXPECT_THAT(LogOfCalls({Sent()}, LogFormat::kJson),
              HasSubstr(absl::StrCat(R"("trace_id":")", kTrace,
                                     R"(","span_id":")", kSpan, R"(")")));
}

TEST(CallLogTest, TextNamesNoTraceWithoutOne) {
  EXPECT_THAT(LogOfCalls({"", "00-1-2"}, LogFormat::kText),
              AllOf(HasSubstr("GetModel"), Not(HasSubstr("trace="))));
}

TEST(CallLogTest, JsonNamesNoTraceWithoutOne) {
  EXPECT_THAT(LogOfCalls({"", "00-1-2"}, LogFormat::kJson),
              AllOf(HasSubstr("GetModel"), Not(HasSubstr("trace_id"))));
}

}  // namespace
}  // namespace zeroshot::server
