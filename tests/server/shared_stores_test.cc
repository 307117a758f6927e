// Servers that share a real Redis.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/server/running_server.h"
#include "tests/testing/make_png.h"
#include "tests/testing/redis_server.h"

namespace zeroshot::server {
namespace {

using ::testing::HasSubstr;

class SharedStoresTest : public ::testing::Test {
 protected:
  ServerOptions Options() {
    ServerOptions options;
    options.redis = *ParseRedisUrl(redis_.Url());
    return options;
  }
  static v1::ClassifyRequest Request(const std::string& id) {
    v1::ClassifyRequest request;
    request.set_image(testing_images::MakePng(1));
    request.set_weight_set_id(id);
    return request;
  }

  // A command of Redis.
  void Run(const RedisClient::Command& command) {
    const auto client = *RedisClient::Make(*ParseRedisUrl(redis_.Url()));
    const auto reply = client->Run(command);
    EXPECT_TRUE(reply.ok()) << reply.status();
  }

  testing::RedisServer redis_;
};

TEST_F(SharedStoresTest, BuiltOnOneClassifiedOnAny) {
  RunningServer one(Options()), two(Options());
  const std::string id = one.Build(BuildRequest({"cat", "dog"}));
  v1::ClassifyResponse first, second;
  ASSERT_TRUE(one.Classify(Request(id), &first).ok());
  const grpc::Status status = two.Classify(Request(id), &second);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(two.text_calls(), 0);
  EXPECT_EQ(first.predictions(0).class_name(),
            second.predictions(0).class_name());
  EXPECT_EQ(first.predictions(0).logit(), second.predictions(0).logit());
}

TEST_F(SharedStoresTest, ASetOfWhichOnlyTheHeaderIsLeftIsBuiltAgain) {
  std::string id;
  v1::ClassifyResponse first, second;
  {
    RunningServer one(Options());
    id = one.Build(BuildRequest({"cat", "dog"}));
    ASSERT_TRUE(one.Classify(Request(id), &first).ok());
  }
  Run({"DEL", "zeroshot:weights:" + id});
  RunningServer two(Options()), three(Options());
  // What is known of it is told without its weights.
  v1::GetWeightSetRequest get;
  get.set_weight_set_id(id);
  v1::GetWeightSetResponse info;
  Context context;
  ASSERT_TRUE(two.stub().GetWeightSet(&context, get, &info).ok());
  EXPECT_EQ(info.class_names(1), "dog");
  EXPECT_EQ(info.weight_set().size_bytes(), 2 * 64 * 4);
  EXPECT_EQ(two.text_calls(), 0);

  const grpc::Status status = two.Classify(Request(id), &second);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(first.predictions(0).logit(), second.predictions(0).logit());
  EXPECT_EQ(two.text_calls(), 1);
  EXPECT_THAT(two.server().status_source().metrics(),
              HasSubstr(R"(zeroshot_builds_total{result="rebuilt"} 1)"));
  // And is shared again.
  EXPECT_TRUE(three.Classify(Request(id), &second).ok());
  EXPECT_EQ(three.text_calls(), 0);
}

TEST_F(SharedStoresTest, DamagedWeightsAreBuiltAgainAndNeverServed) {
  std::string id;
  v1::ClassifyResponse first, second;
  {
    RunningServer one(Options());
    id = one.Build(BuildRequest({"cat", "dog"}));
    ASSERT_TRUE(one.Classify(Request(id), &first).ok());
  }
  Run({"SETRANGE", "zeroshot:weights:" + id, "5", "\x7f"});
  RunningServer two(Options());
  const grpc::Status status = two.Classify(Request(id), &second);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(first.predictions(0).logit(), second.predictions(0).logit());
  EXPECT_EQ(two.text_calls(), 1);
}

TEST_F(SharedStoresTest, ARebuildHoldsTheLease) {
  std::string id;
  {
    RunningServer one(Options());
    id = one.Build(BuildRequest({"cat", "dog"}));
  }
  Run({"DEL", "zeroshot:weights:" + id});
  RunningServer two(Options()), three(Options());
  two.model().CloseGate();
  auto call = std::async(std::launch::async, [&] {
    v1::ClassifyResponse response;
    return two.Classify(Request(id), &response).ok();
  });
  ASSERT_TRUE(two.model().WaitForCallsAtGate(1));
  // The caller's deadline counts while another server builds.
  v1::ClassifyResponse response;
  EXPECT_EQ(three.Classify(Request(id), &response, absl::Milliseconds(300))
                .error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  two.model().OpenGate();
  EXPECT_TRUE(call.get());
  EXPECT_TRUE(three.Classify(Request(id), &response).ok());
  EXPECT_EQ(three.text_calls(), 0);
}

TEST_F(SharedStoresTest, ADeletedSetIsNotBuiltAgain) {
  RunningServer one(Options());
  const std::string id = one.Build(BuildRequest({"cat", "dog"}));
  v1::DeleteWeightSetRequest request;
  request.set_weight_set_id(id);
  v1::DeleteWeightSetResponse deleted;
  Context context;
  ASSERT_TRUE(one.stub().DeleteWeightSet(&context, request, &deleted).ok());
  v1::ClassifyResponse response;
  EXPECT_EQ(one.Classify(Request(id), &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(
      RunningServer(Options()).Classify(Request(id), &response).error_code(),
      grpc::StatusCode::NOT_FOUND);
}

TEST_F(SharedStoresTest, WhileRedisIsAwayEachServesOnItsOwn) {
  RunningServer one(Options());
  const std::string id = one.Build(BuildRequest({"cat", "dog"}));
  redis_.Kill();
  v1::ClassifyResponse response;
  EXPECT_TRUE(one.Classify(Request(id), &response).ok());
  EXPECT_NE(one.Build(BuildRequest({"cat", "bird"})), "");
  const grpc::Status unknown = one.Classify(Request("x"), &response);
  EXPECT_EQ(unknown.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(SharedStoresTest, AFrozenRedisHoldsNoClassifyLongerThanItsTimeout) {
  ServerOptions options = Options();
  options.redis->timeout = absl::Milliseconds(300);
  RunningServer one(options);
  const std::string id = one.Build(BuildRequest({"cat", "dog"}));
  redis_.Freeze();
  v1::ClassifyResponse response;
  const absl::Time start = absl::Now();
  EXPECT_EQ(one.Classify(Request("x"), &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
  EXPECT_TRUE(one.Classify(Request(id), &response).ok());
  EXPECT_LT(absl::Now() - start, absl::Seconds(3));
  redis_.Thaw();
}

}  // namespace
}  // namespace zeroshot::server
