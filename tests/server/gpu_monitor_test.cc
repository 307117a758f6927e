// No GPU here: a stand-in for NVML (tests/testing/fake_nvml.c).
#include "server/gpu_monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "tests/server/running_server.h"
#include "tests/testing/fake_nvml.h"

namespace zeroshot::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

const char kFirst[] = "00000000:3b:00.0", kSecond[] = "00000000:D8:00.0";

class GpuMonitorTest : public ::testing::Test {
 protected:
  ~GpuMonitorTest() override {
    FakeNvmlHang(0);
    FakeNvmlLose(0);
    FakeNvmlLackSensors(0);
  }

  // By its real name: the stand-in that this test is linked with has it.
  static GpuMonitor::Options StandIn() {
    GpuMonitor::Options options;
    options.patience = absl::Seconds(20);
    return options;
  }
};

TEST_F(GpuMonitorTest, ReadsTheGpusInUseWhateverNvmlCallsThem) {
  // As with CUDA_VISIBLE_DEVICES=1,0.
  GpuMonitor monitor({{"cuda:0", kSecond}, {"cuda:1", kFirst}}, StandIn());
  const std::vector<GpuReading> readings = monitor.Read();
  ASSERT_THAT(readings, SizeIs(2));
  EXPECT_EQ(readings[0].device, "cuda:0");
  EXPECT_EQ(readings[0].memory_bytes, 5e9);
  EXPECT_EQ(readings[0].memory_max_bytes, 80e9);
  EXPECT_EQ(readings[0].busy_ratio, 0.5);
  EXPECT_EQ(readings[0].temperature_celsius, 62);
  EXPECT_EQ(readings[0].watts, 351);
  EXPECT_EQ(readings[1].device, "cuda:1");
  EXPECT_EQ(readings[1].memory_bytes, 3e9);
  EXPECT_EQ(readings[1].watts, 350.5);
}

TEST_F(GpuMonitorTest, AGpuThatIsNotInUseIsNotTouched) {
  const int found = FakeNvmlFound();
  GpuMonitor monitor({{"cuda:0", kFirst}}, StandIn());
  EXPECT_THAT(monitor.Read(), SizeIs(1));
  EXPECT_THAT(monitor.Read(), SizeIs(1));
  EXPECT_EQ(FakeNvmlFound(), found + 1);
}

TEST_F(GpuMonitorTest, WithoutAGpuThereIsNoLibrary) {
  GpuMonitor monitor({{"cpu", ""}}, StandIn());
  EXPECT_THAT(monitor.Read(), IsEmpty());
  EXPECT_EQ(FakeNvmlUsers(), 0);
}

TEST_F(GpuMonitorTest, WithoutTheLibraryThereIsNothingToRead) {
  GpuMonitor::Options options = StandIn();
  options.library = "libno-such-library.so.1";
  GpuMonitor monitor({{"cuda:0", kFirst}}, options);
  EXPECT_THAT(monitor.Read(), IsEmpty());
}

TEST_F(GpuMonitorTest, AGpuThatNvmlDoesNotKnowIsLeftOut) {
  GpuMonitor monitor({{"cuda:0", "00000000:01:00.0"}, {"cuda:1", kFirst}},
                     StandIn());
  ASSERT_THAT(monitor.Read(), SizeIs(1));
  EXPECT_EQ(monitor.Read()[0].device, "cuda:1");
}

TEST_F(GpuMonitorTest, ASensorThatACardLacksIsLeftOut) {
  FakeNvmlLackSensors(1);
  GpuMonitor monitor({{"cuda:0", kFirst}}, StandIn());
  const std::vector<GpuReading> readings = monitor.Read();
  ASSERT_THAT(readings, SizeIs(1));
  EXPECT_EQ(readings[0].busy_ratio, std::nullopt);
  EXPECT_EQ(readings[0].watts, std::nullopt);
  EXPECT_EQ(readings[0].temperature_celsius, 61);
}

TEST_F(GpuMonitorTest, ALostGpuHasNoValues) {
  GpuMonitor monitor({{"cuda:0", kFirst}}, StandIn());
  EXPECT_TRUE(monitor.Read()[0].memory_bytes.has_value());
  FakeNvmlLose(1);
  EXPECT_FALSE(monitor.Read()[0].memory_bytes.has_value());
}

TEST_F(GpuMonitorTest, ReadNeverWaitsLongAndTellsTheLatest) {
  GpuMonitor::Options options = StandIn();
  GpuMonitor first({{"cuda:0", kFirst}}, options);
  ASSERT_THAT(first.Read(), SizeIs(1));
  options.patience = absl::Milliseconds(50);
  options.keep = absl::Seconds(2);
  GpuMonitor monitor({{"cuda:0", kFirst}}, options);
  while (monitor.Read().empty()) absl::SleepFor(absl::Milliseconds(1));
  FakeNvmlHang(1);
  const absl::Time start = absl::Now();
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&] { EXPECT_THAT(monitor.Read(), SizeIs(1)); });
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  absl::SleepFor(options.keep);
  EXPECT_THAT(monitor.Read(), IsEmpty());  // too old to be told
  FakeNvmlHang(0);
  while (monitor.Read().empty()) absl::SleepFor(absl::Milliseconds(1));
}

TEST_F(GpuMonitorTest, AStuckDriverHoldsUpNoEnd) {
  GpuMonitor::Options options = StandIn();
  options.patience = absl::Milliseconds(50);
  const absl::Time start = absl::Now();
  {
    FakeNvmlHang(1);
    GpuMonitor monitor({{"cuda:0", kFirst}}, options);
    EXPECT_THAT(monitor.Read(), IsEmpty());
  }
  EXPECT_LT(absl::Now() - start, absl::Seconds(20));
  FakeNvmlHang(0);
  // Let go, its thread ends by itself.
  while (FakeNvmlUsers() > 0) absl::SleepFor(absl::Milliseconds(1));
}

TEST_F(GpuMonitorTest, EveryMonitorThatGoesLetsTheLibraryGo) {
  {
    GpuMonitor monitor({{"cuda:0", kFirst}}, StandIn());
    monitor.Read();
    EXPECT_EQ(FakeNvmlUsers(), 1);
  }
  EXPECT_EQ(FakeNvmlUsers(), 0);
}

TEST_F(GpuMonitorTest, TheServersMetricsHaveThem) {
  ServerOptions options;
  options.gpu_monitor = StandIn();
  RunningServer running(options, /*serve=*/false);
  running.Serve(std::make_unique<clip::FakeModel>(
      64, 8, clip::Device{"cuda:0", kSecond}));
  EXPECT_THAT(
      running.server().status_source().metrics(),
      AllOf(
          HasSubstr(R"(zeroshot_gpu_memory_bytes{device="cuda:0"} 5000000000)"),
          HasSubstr(R"(zeroshot_gpu_busy_ratio{device="cuda:0"} 0.5)"),
          HasSubstr(R"(zeroshot_gpu_temperature_celsius{device="cuda:0"} 62)"),
          HasSubstr(R"(zeroshot_gpu_watts{device="cuda:0"} 351)"),
          Not(HasSubstr("cuda:1"))));
}

}  // namespace
}  // namespace zeroshot::server
