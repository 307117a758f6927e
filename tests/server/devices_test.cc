// A server on several devices, some of which are lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <future>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/server/raw_call.h"
#include "tests/server/running_server.h"
#include "tests/testing/make_png.h"

namespace zeroshot::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing_images::MakePng;

constexpr char kService[] = "zeroshot.v1.ZeroShot";

class DevicesTest : public ::testing::Test {
 protected:
  DevicesTest() {
    clip::FakeDevices devices = clip::MakeFakeDevices(2);
    fakes_ = devices.fakes;
    running_.Serve(std::move(devices.model));
    set_ = running_.Build(BuildRequest({"cat", "dog"}));
  }

  grpc::Status Classify(uint32_t seed) {
    v1::ClassifyRequest request;
    request.set_weight_set_id(set_);
    request.set_image(MakePng(seed));
    v1::ClassifyResponse response;
    return running_.Classify(request, &response);
  }

  // How many lines of the log say so.
  int Logged(const std::string& what) {
    int lines = 0;
    for (absl::string_view line : absl::StrSplit(log_.written.str(), '\n')) {
      lines += absl::StrContains(line, what);
    }
    return lines;
  }

  // The log goes here; reading it needs no lock once nothing is written. It
  // outlives the server, whose threads log to their end.
  struct Log {
    Log()
        : before(spdlog::default_logger()),
          here(std::make_shared<spdlog::logger>(
              "", std::make_shared<spdlog::sinks::ostream_sink_mt>(written))) {
      spdlog::set_default_logger(here);
    }
    ~Log() { spdlog::set_default_logger(before); }

    std::ostringstream written;
    std::shared_ptr<spdlog::logger> before;
    std::shared_ptr<spdlog::logger> here;
  };

  Log log_;
  std::atomic<int> broken_{0};
  RunningServer running_{{}, /*serve=*/false, [this] { ++broken_; }};
  std::vector<clip::FakeModel*> fakes_;
  std::string set_;
};

TEST_F(DevicesTest, ALostDeviceIsToldOfAndTheServerGoesOn) {
  const StatusSource source = running_.server().status_source();
  EXPECT_THAT(source.metrics(),
              AllOf(HasSubstr(R"(zeroshot_devices{state="serving"} 2)"),
                    HasSubstr(R"(zeroshot_devices{state="lost"} 0)")));
  EXPECT_EQ(source.remarks(), "");
  fakes_[0]->LoseDevice();
  for (uint32_t seed = 0; seed < 6; ++seed) EXPECT_TRUE(Classify(seed).ok());
  EXPECT_NE(running_.Build(BuildRequest({"cow"})), "");
  EXPECT_THAT(source.metrics(),
              AllOf(HasSubstr(R"(zeroshot_devices{state="serving"} 1)"),
                    HasSubstr(R"(zeroshot_devices{state="lost"} 1)")));
  EXPECT_EQ(source.remarks(), "cuda:0 is lost: cuda:0 has broken\n");
  EXPECT_TRUE(source.live().ok());
  EXPECT_TRUE(source.ready().ok());
  EXPECT_EQ(Health(running_.channel(), kService), "SERVING");
  EXPECT_EQ(broken_, 0);
  running_.server().Drain(absl::ZeroDuration(), absl::Seconds(5));
  EXPECT_EQ(Logged("cuda:0 is lost and taken out, 1 of 2 devices are left: "
                   "cuda:0 has broken"),
            1)
      << log_.written.str();
  EXPECT_EQ(Logged("no device is left"), 0);
}

TEST_F(DevicesTest, WithNoDeviceLeftTheServerAsksToBeEnded) {
  const StatusSource source = running_.server().status_source();
  for (clip::FakeModel* fake : fakes_) fake->CloseGate();
  std::vector<std::future<grpc::Status>> calls;
  for (uint32_t seed = 0; seed < 8; ++seed) {
    calls.push_back(std::async(std::launch::async,
                               [this, seed] { return Classify(seed); }));
  }
  for (clip::FakeModel* fake : fakes_) {
    ASSERT_TRUE(fake->WaitForCallsAtGate(1));
  }
  for (clip::FakeModel* fake : fakes_) fake->LoseDevice();
  for (auto& call : calls) {
    EXPECT_EQ(call.get().error_code(), grpc::StatusCode::UNAVAILABLE);
  }
  EXPECT_EQ(broken_, 1);
  EXPECT_EQ(Health(running_.channel(), ""), "NOT_SERVING");
  EXPECT_EQ(Health(running_.channel(), kService), "NOT_SERVING");
  for (const absl::Status& status : {source.live(), source.ready()}) {
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("no device is left"), HasSubstr("cuda:0,1")));
  }
  EXPECT_THAT(source.metrics(),
              AllOf(HasSubstr(R"(zeroshot_devices{state="serving"} 0)"),
                    HasSubstr(R"(zeroshot_devices{state="lost"} 2)"),
                    HasSubstr("zeroshot_ready 0\n")));
  EXPECT_EQ(Classify(99).error_code(), grpc::StatusCode::UNAVAILABLE);
  const absl::Time start = absl::Now();
  EXPECT_EQ(running_.server().Drain(absl::ZeroDuration(), absl::Minutes(5)), 0);
  EXPECT_LT(absl::Now() - start, absl::Seconds(20));
  EXPECT_EQ(Logged("is lost and taken out"), 2) << log_.written.str();
  EXPECT_EQ(Logged("no device is left: the server ends"), 1);
}

TEST_F(DevicesTest, ABuildEndsWithTheLastDevice) {
  fakes_[0]->LoseDevice();
  fakes_[1]->LoseDevice(/*after_texts=*/1);
  Context context;
  v1::BuildClassifierResponse response;
  const grpc::Status status = running_.stub().BuildClassifier(
      &context, BuildRequest({"a", "b", "c"}), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("no device is left"));
  EXPECT_EQ(broken_, 1);
}

}  // namespace
}  // namespace zeroshot::server
