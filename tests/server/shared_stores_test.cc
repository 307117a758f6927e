// Servers that share a real Redis.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/server/running_server.h"
#include "tests/testing/make_png.h"
#include "tests/testing/redis_server.h"

namespace zeroshot::server {
namespace {

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

  testing::RedisServer redis_;
};

TEST_F(SharedStoresTest, BuiltOnOneClassifiedOnAny) {
  RunningServer one(Options()), two(Options());
  const std::string id = one.Build(BuildRequest({"cat", "dog"}));
  v1::ClassifyResponse first, second;
  ASSERT_TRUE(one.Classify(Request(id), &first).ok());
  const grpc::Status status = two.Classify(Request(id), &second);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(two.model().text_calls(), 0);
  EXPECT_EQ(first.predictions(0).class_name(),
            second.predictions(0).class_name());
  EXPECT_EQ(first.predictions(0).logit(), second.predictions(0).logit());
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
