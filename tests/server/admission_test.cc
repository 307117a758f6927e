// Which calls are let in when the device is busy: decided before any work.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/server/running_server.h"
#include "tests/testing/make_png.h"

namespace zeroshot::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing_images::MakePng;

class AdmissionTest : public ::testing::Test {
 protected:
  explicit AdmissionTest(ServerOptions options = {}) : running_(options) {
    id_ = running_.Build(BuildRequest({"cat", "dog"}));
  }

  grpc::Status Classify(absl::Duration timeout = absl::Seconds(60)) {
    v1::ClassifyRequest request;
    request.set_weight_set_id(id_);
    request.set_image(MakePng(1));
    v1::ClassifyResponse response;
    return running_.Classify(request, &response, timeout);
  }

  // Lets the server learn that an image takes about so long.
  void Teach(absl::Duration image) {
    running_.model().CloseGate();
    auto call = std::async(std::launch::async, [this] { return Classify(); });
    ASSERT_TRUE(running_.model().WaitForCallsAtGate(1));
    absl::SleepFor(image);
    running_.model().OpenGate();
    EXPECT_TRUE(call.get().ok());
  }

  // Waits until so many images have no embedding yet.
  void WaitForPending(int images) {
    running_.WaitForMetric(absl::StrCat("zeroshot_pending_images ", images));
  }

  RunningServer running_;
  std::string id_;
};

// One batch a call: those ahead take their time one after the other.
class OneAtATimeTest : public AdmissionTest {
 protected:
  static ServerOptions OneAtATime() {
    ServerOptions options;
    options.embedder.max_batch = 1;
    return options;
  }
  OneAtATimeTest() : AdmissionTest(OneAtATime()) {}
};

TEST_F(OneAtATimeTest, CallThatWouldExpireInTheQueueIsRefusedAtOnce) {
  Teach(absl::Seconds(1));
  running_.model().CloseGate();
  std::vector<std::future<grpc::Status>> inside;
  for (int i = 0; i < 8; ++i) {
    inside.push_back(
        std::async(std::launch::async, [this] { return Classify(); }));
  }
  WaitForPending(8);
  const int batches = running_.image_batches();

  // Seven batches of half a second, as the mean of the canary's and the one of
  // a second is: too long for the one, short enough for the other.
  const grpc::Status refused = Classify(absl::Seconds(1));
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(),
              AllOf(HasSubstr("the deadline is in "),
                    HasSubstr("the 8 images ahead will take about ")));
  EXPECT_THAT(refused.error_details(), HasSubstr("RetryInfo"));
  EXPECT_THAT(running_.server().status_source().metrics(),
              HasSubstr(R"(zeroshot_failures_total{cause="deadline"} 1)"));
  auto patient = std::async(std::launch::async,
                            [this] { return Classify(absl::Seconds(50)); });
  WaitForPending(9);
  EXPECT_EQ(running_.image_batches(), batches);
  running_.model().OpenGate();
  EXPECT_TRUE(patient.get().ok());
  for (auto& call : inside) EXPECT_TRUE(call.get().ok());
}

TEST_F(OneAtATimeTest, TextsAreNoImagesAhead) {
  Teach(absl::Seconds(2));
  running_.model().CloseGate();
  std::vector<std::future<grpc::Status>> texts;
  for (int i = 0; i < 8; ++i) {
    texts.push_back(std::async(std::launch::async, [this] {
      Context context;
      v1::EmbedTextsRequest request;
      request.add_texts("cat");
      v1::EmbedTextsResponse response;
      return running_.stub().EmbedTexts(&context, request, &response);
    }));
  }
  ASSERT_TRUE(running_.model().WaitForCallsAtGate(8));
  EXPECT_EQ(Classify(absl::Milliseconds(200)).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  running_.model().OpenGate();
  for (auto& call : texts) EXPECT_TRUE(call.get().ok());
}

TEST_F(AdmissionTest, IdleServerTriesWhateverTheDeadline) {
  Teach(absl::Milliseconds(500));
  EXPECT_TRUE(Classify(absl::Milliseconds(400)).ok());
}

// A batch of 1 and one of 30 take equally long, as on a GPU: 30 callers are in
// two batches, and a third is time to spare.
TEST_F(AdmissionTest, NobodyIsRefusedWhoCanBeAnsweredInTime) {
  const absl::Duration batch = absl::Seconds(1);
  running_.model().SetImageTime(batch);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Classify().ok());
  const int batches = running_.image_batches();
  std::vector<std::future<grpc::Status>> callers;
  for (int i = 0; i < 30; ++i) {
    callers.push_back(
        std::async(std::launch::async, [&] { return Classify(3 * batch); }));
  }
  for (auto& call : callers) {
    const grpc::Status status = call.get();
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_LE(running_.image_batches(), batches + 3);
}

TEST_F(AdmissionTest, EachImageOfACallTakesAPlace) {
  running_.model().CloseGate();
  const auto embed = [&](int images) {
    v1::EmbedImagesRequest request;
    for (int i = 0; i < images; ++i) request.add_images(MakePng(i));
    Context context;
    v1::EmbedImagesResponse response;
    return running_.stub().EmbedImages(&context, request, &response);
  };
  auto first = std::async(std::launch::async, [&] { return embed(64); });
  auto second = std::async(std::launch::async, [&] { return embed(63); });
  WaitForPending(127);
  const grpc::Status refused = embed(2);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr("at most 128 are allowed"));
  auto last = std::async(std::launch::async, [&] { return Classify(); });
  WaitForPending(128);
  EXPECT_EQ(Classify().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  running_.model().OpenGate();
  EXPECT_TRUE(first.get().ok() && second.get().ok() && last.get().ok());
}

TEST_F(AdmissionTest, WorkNobodyWaitsForNeverReachesTheDevice) {
  const int batches = running_.image_batches();
  running_.model().CloseGate();
  auto first = std::async(std::launch::async, [this] { return Classify(); });
  ASSERT_TRUE(running_.model().WaitForCallsAtGate(1));
  EXPECT_EQ(Classify(absl::Milliseconds(100)).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  running_.WaitForMetric(
      "zeroshot_calls_total{code=\"DEADLINE_EXCEEDED\",method=\"Classify\"} 1");
  running_.model().OpenGate();
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(Classify().ok());
  EXPECT_EQ(running_.image_batches(), batches + 2);
}

}  // namespace
}  // namespace zeroshot::server
