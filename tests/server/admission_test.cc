// Who is let in when the device is busy: decided at the door, before any work.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <string>
#include <vector>

#include "tests/server/running_server.h"
#include "tests/testing/make_png.h"

namespace zeroshot::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing_images::MakePng;

class AdmissionTest : public ::testing::Test {
 protected:
  AdmissionTest() { id_ = running_.Build(BuildRequest({"cat", "dog"})); }

  grpc::Status Classify(absl::Duration timeout = absl::Seconds(60)) {
    v1::ClassifyRequest request;
    request.set_weight_set_id(id_);
    request.set_image(MakePng(1));
    v1::ClassifyResponse response;
    return running_.Classify(request, &response, timeout);
  }

  // Lets the server learn that a picture takes about so long.
  void Teach(absl::Duration picture) {
    running_.model().CloseGate();
    auto call = std::async(std::launch::async, [this] { return Classify(); });
    ASSERT_TRUE(running_.model().WaitForCallsAtGate(1));
    absl::SleepFor(picture);
    running_.model().OpenGate();
    EXPECT_TRUE(call.get().ok());
  }

  RunningServer running_;
  std::string id_;
};

TEST_F(AdmissionTest, CallThatWouldExpireInTheQueueIsRefusedAtOnce) {
  Teach(absl::Seconds(1));
  running_.model().CloseGate();
  std::vector<std::future<grpc::Status>> inside;
  for (int i = 0; i < 8; ++i) {
    inside.push_back(
        std::async(std::launch::async, [this] { return Classify(); }));
  }
  ASSERT_TRUE(running_.model().WaitForCallsAtGate(1));
  absl::SleepFor(absl::Milliseconds(100));  // let all of them arrive
  const int batches = running_.image_batches();

  // 2 s are ahead (the average moves by a quarter): too long for the one, short
  // enough for the other.
  const absl::Time start = absl::Now();
  const grpc::Status refused = Classify(absl::Seconds(1));
  EXPECT_LT(absl::Now() - start, absl::Milliseconds(900));
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(),
              AllOf(HasSubstr("the deadline is in "),
                    HasSubstr("the 8 pictures ahead will take about ")));
  EXPECT_THAT(refused.error_details(), HasSubstr("RetryInfo"));
  EXPECT_THAT(running_.server().status_source().metrics(),
              HasSubstr(R"(zeroshot_failures_total{cause="deadline"} 1)"));
  auto patient = std::async(std::launch::async,
                            [this] { return Classify(absl::Seconds(50)); });
  absl::SleepFor(absl::Milliseconds(100));
  EXPECT_EQ(running_.image_batches(), batches);
  running_.model().OpenGate();
  EXPECT_TRUE(patient.get().ok());
  for (auto& call : inside) EXPECT_TRUE(call.get().ok());
}

TEST_F(AdmissionTest, IdleServerTriesWhateverTheDeadline) {
  Teach(absl::Milliseconds(500));
  EXPECT_TRUE(Classify(absl::Milliseconds(400)).ok());
}

TEST_F(AdmissionTest, WorkNobodyWaitsForNeverReachesTheDevice) {
  const int batches = running_.image_batches();
  running_.model().CloseGate();
  auto first = std::async(std::launch::async, [this] { return Classify(); });
  ASSERT_TRUE(running_.model().WaitForCallsAtGate(1));
  EXPECT_EQ(Classify(absl::Milliseconds(100)).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  absl::SleepFor(absl::Milliseconds(100));
  running_.model().OpenGate();
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(Classify().ok());
  EXPECT_EQ(running_.image_batches(), batches + 2);
}

}  // namespace
}  // namespace zeroshot::server
