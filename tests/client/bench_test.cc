// `zeroshot_client bench`: what is measured, without a server, then the
// command against one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <fstream>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "client/cli/load.h"
#include "client/cli/measurement.h"
#include "tests/client/fake_server.h"
#include "tests/client/run_cli.h"
#include "tests/testing/temporary_folder.h"

namespace zeroshot::client {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

Sample Took(int milliseconds) {
  Sample sample;
  sample.latency = absl::Milliseconds(milliseconds);
  return sample;
}

Summary Window(double calls_per_second, int milliseconds) {
  Summary summary;
  summary.calls_per_second = calls_per_second;
  summary.mean = absl::Milliseconds(milliseconds);
  return summary;
}

TEST(SummaryTest, PercentilesAreTheNearestRanks) {
  std::vector<Sample> samples;
  for (int i = 200; i >= 1; --i) samples.push_back(Took(i));
  const Summary summary = Summarize(samples, absl::Seconds(4));
  EXPECT_EQ(summary.p50, absl::Milliseconds(100));
  EXPECT_EQ(summary.p90, absl::Milliseconds(180));
  EXPECT_EQ(summary.p95, absl::Milliseconds(190));
  EXPECT_EQ(summary.p99, absl::Milliseconds(198));
  EXPECT_EQ(summary.max, absl::Milliseconds(200));
  EXPECT_EQ(summary.mean, absl::Microseconds(100'500));
  EXPECT_DOUBLE_EQ(summary.calls_per_second, 50);
  const Summary one = Summarize({Took(7)}, absl::Seconds(1));
  EXPECT_EQ(one.p50, absl::Milliseconds(7));
  EXPECT_EQ(one.p99, absl::Milliseconds(7));
  EXPECT_EQ(Summarize({}, absl::Seconds(1)).p99, absl::ZeroDuration());
}

TEST(SummaryTest, FailedCallsCountAsErrorsOnly) {
  Sample full = Took(1), late = Took(5000);
  full.code = absl::StatusCode::kResourceExhausted;
  late.code = absl::StatusCode::kDeadlineExceeded;
  const Summary summary =
      Summarize({Took(10), full, late, full, Took(10)}, absl::Seconds(1));
  EXPECT_EQ(summary.calls, 5);
  EXPECT_EQ(summary.num_errors(), 3);
  EXPECT_EQ(summary.errors.at(absl::StatusCode::kResourceExhausted), 2);
  EXPECT_DOUBLE_EQ(summary.calls_per_second, 2);
  EXPECT_EQ(summary.max, absl::Milliseconds(10));
  EXPECT_EQ(summary.error_p50, absl::Milliseconds(1));
  EXPECT_EQ(summary.error_p95, absl::Seconds(5));
  EXPECT_EQ(summary.error_max, absl::Seconds(5));
  EXPECT_EQ(Summarize({full}, absl::Seconds(1)).error_p95,
            absl::Milliseconds(1));
}

TEST(SummaryTest, StagesAddUpToTheMean) {
  Sample a = Took(100), b = Took(50);
  a.timing = {.decode = absl::Milliseconds(10),
              .preprocess = absl::Milliseconds(6),
              .queue = absl::Milliseconds(20),
              .compute = absl::Milliseconds(40),
              .total = absl::Milliseconds(80)};
  b.timing.total = absl::Milliseconds(30);
  const Summary summary = Summarize({a, b}, absl::Seconds(1));
  const StageSplit& split = summary.stages;
  EXPECT_EQ(split.decode, absl::Milliseconds(5));
  EXPECT_EQ(split.other, absl::Milliseconds(17));
  EXPECT_EQ(split.outside, absl::Milliseconds(20));
  EXPECT_EQ(split.decode + split.preprocess + split.queue + split.compute +
                split.other + split.outside,
            summary.mean);
}

TEST(SummaryTest, WindowsAgreeWithinTheToleranceInBoth) {
  EXPECT_TRUE(Agree({Window(100, 50), Window(95, 52), Window(105, 48)}, 0.1));
  EXPECT_FALSE(Agree({Window(100, 50), Window(80, 50), Window(100, 50)}, 0.1));
  EXPECT_FALSE(Agree({Window(100, 50), Window(100, 70), Window(100, 50)}, 0.1));
}

TEST(SummaryTest, WindowsInWhichNothingWasAnsweredDoNotAgree) {
  EXPECT_FALSE(Agree({Window(0, 0), Window(0, 0), Window(0, 0)}, 0.1));
}

TEST(SummaryTest, ASweepFindsTheLargestLoadWithinTheBound) {
  for (const double most : {1, 2, 3, 5, 8, 11, 64, 100}) {
    int tried = 0;
    const double found = LargestWithin(1, 100, true, [&](double load) {
      EXPECT_EQ(load, std::floor(load));
      EXPECT_LE(load, 100);
      ++tried;
      return load <= most;
    });
    EXPECT_LE(found, most);
    EXPECT_GE(found, std::min(most - 1, most * 0.95)) << most;
    EXPECT_LE(tried, 14) << most;
  }
  EXPECT_EQ(LargestWithin(1, 100, true, [](double) { return false; }), 0);
  EXPECT_NEAR(LargestWithin(3, 1e6, false, [](double x) { return x < 70; }), 68,
              2);
}

// What one call after the other gives may be more than the machine does later.
TEST(SummaryTest, ASweepThatBeginsTooHighGoesDown) {
  EXPECT_NEAR(LargestWithin(30, 1e6, false, [](double x) { return x < 1; }),
              0.97, 0.05);
  int tried = 0;
  EXPECT_EQ(LargestWithin(30, 1e6, false,
                          [&](double) {
                            ++tried;
                            return false;
                          }),
            0);
  EXPECT_EQ(tried, 7);
}

absl::StatusOr<Answer> AnswerAfter(absl::Duration time) {
  absl::SleepFor(time);
  return Answer();
}

TEST(MeasureTest, AClosedLoopKeepsThatManyCallsInside) {
  std::atomic<int> inside = 0, most = 0;
  LoadOptions options;
  options.window = absl::Milliseconds(200);
  const Point point = Measure({.concurrency = 4}, options, [&](int64_t) {
    const int now = ++inside;
    for (int seen = most;
         now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    auto answer = AnswerAfter(absl::Milliseconds(10));
    --inside;
    return answer;
  });
  EXPECT_EQ(inside, 0);
  EXPECT_EQ(most, 4);
  // 4 calls each 10 ms; a busy machine makes it less.
  EXPECT_LE(point.summary.calls_per_second, 410);
  EXPECT_GE(point.summary.calls_per_second, 40);
  EXPECT_GE(point.summary.p50, absl::Milliseconds(10));
  EXPECT_GE(point.windows, kWindows);
}

TEST(MeasureTest, AnOpenLoopHoldsItsRateWhateverACallTakes) {
  LoadOptions options;
  options.window = absl::Milliseconds(500);
  options.max_windows = kWindows;
  options.max_in_flight = 64;
  const Point point = Measure({.rate = 200}, options, [&](int64_t) {
    return AnswerAfter(absl::Milliseconds(50));
  });
  // 300 arrivals, Poisson: within 5 deviations of the mean, and some slack for
  // the first calls, which end in the next window.
  EXPECT_NEAR(point.summary.calls_per_second, 200, 65);
}

TEST(MeasureTest, AnOpenLoopCountsLatencyFromWhenACallWasDue) {
  LoadOptions options;
  options.window = absl::Milliseconds(300);
  options.max_windows = kWindows;
  options.max_in_flight = 1;
  // A server of 50 calls per second that gets 200: its backlog must show.
  const Point point = Measure({.rate = 200}, options, [&](int64_t) {
    return AnswerAfter(absl::Milliseconds(20));
  });
  EXPECT_GT(point.summary.p99, absl::Milliseconds(200));
  EXPECT_FALSE(point.stable);
}

TEST(MeasureTest, NeverStableEndsAfterMaxWindows) {
  LoadOptions options;
  options.window = absl::Milliseconds(20);
  options.max_windows = 5;
  // Each call takes twice as long as the one before, so that no three windows
  // agree however the machine delays them.
  std::atomic<int64_t> delay = 1;
  const Point point = Measure({.concurrency = 1}, options, [&](int64_t) {
    return AnswerAfter(absl::Milliseconds(delay.exchange(delay * 2)));
  });
  EXPECT_FALSE(point.stable);
  EXPECT_EQ(point.windows, 5);
}

class BenchCommandTest : public ::testing::Test {
 protected:
  BenchCommandTest() : fake_(&server_) { std::ofstream(image_) << "cat"; }

  int Run(std::vector<std::string> args) {
    args.insert(args.begin(), {"bench", "--window=60ms", image_});
    CliResult result = RunCli(std::move(args), server_.target());
    out_ = std::move(result.out);
    err_ = std::move(result.err);
    lines_ = absl::StrSplit(out_, '\n', absl::SkipEmpty());
    return result.exit_code;
  }

  FakeServer server_;
  FakeClassifiers fake_;
  const ::testing::TemporaryFolder folder_;
  const std::string image_ = folder_.path() + "/image";
  std::string out_, err_;
  std::vector<std::string> lines_;
};

TEST_F(BenchCommandTest, PrintsATableWithARowForEachLoad) {
  ASSERT_EQ(Run({"--classes=cat,dog", "--concurrency=1,3"}), 0) << err_;
  ASSERT_THAT(lines_, SizeIs(4)) << out_;
  EXPECT_THAT(lines_[0], AllOf(HasSubstr("calls/s"), HasSubstr("latency")));
  EXPECT_THAT(lines_[2], StartsWith("1 at once"));
  EXPECT_THAT(lines_[3], StartsWith("3 at once"));
}

TEST_F(BenchCommandTest, PrintsALineOfJsonForEachLoad) {
  ASSERT_EQ(Run({"--classes=cat,dog", "--rate=100,150.5", "--json"}), 0)
      << err_;
  ASSERT_THAT(lines_, SizeIs(2));
  EXPECT_THAT(lines_[0], StartsWith("{\"rate\":100,\"calls_per_second\":"));
  EXPECT_THAT(lines_[1], StartsWith("{\"rate\":150.5,"));
  EXPECT_THAT(lines_, Each(AllOf(HasSubstr("\"errors\":{}"),
                                 HasSubstr("\"latency_ms\":{\"mean\":"),
                                 HasSubstr("\"p99\":"),
                                 HasSubstr("\"mean_stage_ms\":{\"decode\":"))));
}

// Counters are shared with the handlers: calls that bench has given up go on in
// the server, and some begin, after the test's end.
TEST_F(BenchCommandTest, CountsErrorsByCodeAndTriesNothingAgain) {
  const auto calls = std::make_shared<std::atomic<int>>(0);
  server_.classify = [calls](const auto&, auto* response) {
    const int call = (*calls)++;
    response->add_predictions();
    if (call > 0 && call % 2 == 0) {
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "away");
    }
    if (call > 0 && call % 3 == 0) {
      return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
    }
    return grpc::Status::OK;
  };
  ASSERT_EQ(Run({"--weight_set=x", "--json"}), 0) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("\"UNAVAILABLE\":"),
                          HasSubstr("\"RESOURCE_EXHAUSTED\":")));
}

TEST_F(BenchCommandTest, ASweepEndsWithTheBestLoad) {
  const auto inside = std::make_shared<std::atomic<int>>(0);
  server_.classify = [inside](const auto&, auto* response) {
    // Slow as soon as more than three are inside.
    absl::SleepFor(absl::Milliseconds(++*inside > 3 ? 500 : 2));
    --*inside;
    response->add_predictions();
    return grpc::Status::OK;
  };
  ASSERT_EQ(Run({"--weight_set=x", "--sweep=concurrency", "--max_windows=3",
                 "--percentile=50", "--latency_bound=250ms", "--json"}),
            0)
      << err_;
  EXPECT_THAT(lines_.back(), StartsWith("{\"best\":{\"concurrency\":")) << out_;
}

TEST_F(BenchCommandTest, SaysWhyAPointHasNoFigures) {
  const auto calls = std::make_shared<std::atomic<int>>(0);
  server_.classify = [calls](const auto&, auto* response) {
    // The first one warms up, the others take longer than all windows.
    if ((*calls)++ > 0) absl::SleepFor(absl::Seconds(3));
    response->add_predictions();
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"--weight_set=x", "--concurrency=2", "--max_windows=3"}), 1);
  EXPECT_THAT(err_, HasSubstr("2 at once: no call ended within the 3 "
                              "windows of 60ms; a longer --window"));
}

TEST_F(BenchCommandTest, SaysWhatIsWrongBeforeItLoadsTheServer) {
  EXPECT_EQ(Run({"--weight_set=unknown"}), 1);
  EXPECT_THAT(err_, HasSubstr("NOT_FOUND"));
  for (const auto& [flag, message] :
       std::vector<std::pair<std::string, std::string>>{
           {"--concurrency=0", "numbers from 1"},
           {"--concurrency=1.5", "whole"},
           {"--rate=1,x", "numbers from 0.01"},
           {"--sweep=rate", "go together"},
           {"--latency_bound=1s", "go together"},
           {"--percentile=80", "50, 90, 95 or 99"}}) {
    EXPECT_EQ(Run({"--weight_set=x", flag}), 2) << flag;
    EXPECT_THAT(err_, HasSubstr(message)) << flag;
  }
  EXPECT_EQ(Run({"--weight_set=x", "--rate=1", "--concurrency=1"}), 2);
}

}  // namespace
}  // namespace zeroshot::client
