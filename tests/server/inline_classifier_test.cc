// Classify and ClassifyBatch with the classifier itself instead of an id.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/error_info.h"
#include "client/grpc_status.h"
#include "tests/server/running_server.h"
#include "tests/server/with_tokens.h"
#include "tests/testing/make_png.h"

namespace zeroshot::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing_images::MakePng;

v1::ClassifyRequest Request(const v1::BuildClassifierRequest& classifier,
                            uint32_t seed = 1) {
  v1::ClassifyRequest request;
  request.set_image(MakePng(seed));
  *request.mutable_classifier() = classifier;
  return request;
}

class InlineClassifierTest : public ::testing::Test {
 protected:
  void Start(const ServerOptions& options = {}) {
    running_ = std::make_unique<RunningServer>(options);
  }

  v1::ClassifyResponse Answer(const v1::ClassifyRequest& request) {
    v1::ClassifyResponse response;
    const grpc::Status status = running_->Classify(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  absl::Status Failure(const v1::ClassifyRequest& request,
                       absl::Duration timeout = absl::Seconds(60),
                       const std::string& token = "") {
    Context context(timeout);
    if (!token.empty()) {
      context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
    }
    v1::ClassifyResponse response;
    const grpc::Status status =
        running_->stub().Classify(&context, request, &response);
    EXPECT_FALSE(status.ok());
    return client::FromGrpcStatus(status);
  }

  // The field that is wrong.
  std::string Field(const absl::Status& status) {
    EXPECT_EQ(client::ReasonOf(status), "INVALID_FIELD") << status;
    const auto info = client::ErrorInfoOf(status);
    return info.has_value() ? info->metadata.at("field") : "";
  }

  void WaitForMetric(const std::string& line) {
    while (!absl::StrContains(running_->server().status_source().metrics(),
                              line + "\n")) {
      absl::SleepFor(absl::Milliseconds(1));
    }
  }

  std::unique_ptr<RunningServer> running_;
};

TEST_F(InlineClassifierTest, IsBuiltOnceAndThenFound) {
  Start();
  const auto spec = BuildRequest({"cat", "dog"}, {"a {}", "the {}"});
  const v1::ClassifyResponse built = Answer(Request(spec));
  EXPECT_FALSE(built.build().cached());
  EXPECT_EQ(built.build().num_classes(), 2);
  EXPECT_EQ(built.build().num_prompts(), 4);
  EXPECT_EQ(built.build().weight_set_id(), built.weight_set_id());
  const int texts = running_->text_calls();

  const v1::ClassifyResponse found = Answer(Request(spec));
  EXPECT_TRUE(found.build().cached());
  EXPECT_EQ(found.build().num_tokens_encoded(), 0);
  EXPECT_EQ(running_->text_calls(), texts);
  EXPECT_EQ(found.weight_set_id(), built.weight_set_id());
  EXPECT_EQ(running_->Build(spec), built.weight_set_id());

  v1::ClassifyRequest by_id;
  by_id.set_image(MakePng(1));
  by_id.set_weight_set_id(built.weight_set_id());
  const v1::ClassifyResponse answer = Answer(by_id);
  EXPECT_EQ(answer.weight_set_id(), built.weight_set_id());
  EXPECT_FALSE(answer.has_build());
  ASSERT_EQ(answer.predictions_size(), 2);
  for (int i = 0; i < 2; ++i) {
    for (const auto& other : {built, found}) {
      EXPECT_EQ(other.predictions(i).SerializeAsString(),
                answer.predictions(i).SerializeAsString());
    }
  }
}

TEST_F(InlineClassifierTest, WarningsComeWithTheBuildAlone) {
  Start();
  const auto spec = BuildRequest({"cat", "cat"});
  EXPECT_GT(Answer(Request(spec)).build().warnings_size(), 0);
  EXPECT_EQ(Answer(Request(spec)).build().warnings_size(), 0);
}

TEST_F(InlineClassifierTest, StandsForABatchToo) {
  Start();
  v1::ClassifyBatchRequest request;
  for (int i = 0; i < 3; ++i) request.add_images(MakePng(i));
  request.add_images("none");
  *request.mutable_classifier() = BuildRequest({"cat", "dog"});
  Context context;
  v1::ClassifyBatchResponse response;
  const grpc::Status status =
      running_->stub().ClassifyBatch(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.build().num_classes(), 2);
  EXPECT_EQ(response.build().weight_set_id(), response.weight_set_id());
  ASSERT_EQ(response.items_size(), 4);
  for (int i = 0; i < 3; ++i) {
    const v1::ClassifyResponse& answer = response.items(i).answer();
    EXPECT_EQ(answer.weight_set_id(), response.weight_set_id());
    EXPECT_FALSE(answer.has_build());
    EXPECT_EQ(Answer(Request(request.classifier(), i))
                  .predictions(0)
                  .SerializeAsString(),
              answer.predictions(0).SerializeAsString());
  }
  EXPECT_NE(response.items(3).status().code(), 0);
}

TEST_F(InlineClassifierTest, ExactlyOneOfIdAndClassifierIsGiven) {
  Start();
  v1::ClassifyRequest request = Request(BuildRequest({"cat"}));
  request.set_weight_set_id(std::string(64, '0'));
  EXPECT_EQ(Field(Failure(request)), "classifier");
  request.clear_weight_set_id();
  request.clear_classifier();
  EXPECT_EQ(Field(Failure(request)), "weight_set_id");
  // An empty classifier is one that says nothing.
  request.mutable_classifier();
  EXPECT_EQ(Field(Failure(request)), "classifier.classes");
}

TEST_F(InlineClassifierTest, ErrorsNameTheFieldWithinIt) {
  Start();
  const absl::Status empty = Failure(Request(BuildRequest({"cat", ""})));
  EXPECT_EQ(Field(empty), "classifier.classes[1].name");
  EXPECT_THAT(std::string(empty.message()),
              HasSubstr("classifier: classes[1].name is empty"));
  EXPECT_EQ(Field(Failure(Request(BuildRequest({"cat"}, {"{}", "a"})))),
            "classifier.templates[1]");
  v1::ClassifyRequest set = Request({});
  set.mutable_classifier()->set_class_set("no-such-set");
  EXPECT_EQ(Field(Failure(set)), "classifier.class_set");
}

TEST_F(InlineClassifierTest, ItsPromptsAreFewWhetherItIsFoundOrNot) {
  ServerOptions options;
  options.max_inline_prompts = 6;
  Start(options);
  const auto three = BuildRequest({"a", "b", "c"}, {"a {}", "b {}"});
  EXPECT_EQ(Answer(Request(three)).build().num_prompts(), 6);
  auto four = three;
  four.add_classes()->set_name("d");
  const int texts = running_->text_calls();
  for (const bool found : {false, true}) {
    const absl::Status status = Failure(Request(four));
    EXPECT_EQ(Field(status), "classifier") << found;
    EXPECT_THAT(
        std::string(status.message()),
        AllOf(HasSubstr("8 prompts"), HasSubstr("at most 6"),
              HasSubstr("--max_inline_prompts"), HasSubstr("BuildClassifier")));
    if (!found) {
      EXPECT_EQ(running_->text_calls(), texts);
    }
    running_->Build(four);
  }
  // So many classes that they are counted before they are parsed.
  v1::ClassifyRequest many = Request({});
  for (int i = 0; i < 7; ++i) many.mutable_classifier()->add_classes();
  EXPECT_EQ(Field(Failure(many)), "classifier.classes");
  v1::ClassifyRequest own = Request({});
  auto* definition = own.mutable_classifier()->add_classes();
  for (int i = 0; i < 7; ++i) definition->add_prompts("a");
  EXPECT_EQ(Field(Failure(own)), "classifier.prompts");
  v1::ClassifyRequest background = Request(BuildRequest({"a"}));
  for (int i = 0; i < 7; ++i) {
    background.mutable_classifier()->add_background("b");
  }
  EXPECT_EQ(Field(Failure(background)), "classifier.background");
}

TEST_F(InlineClassifierTest, GetModelSaysHowManyPrompts) {
  ServerOptions options;
  options.max_inline_prompts = 6;
  Start(options);
  Context context;
  v1::GetModelResponse model;
  ASSERT_TRUE(running_->stub().GetModel(&context, {}, &model).ok());
  EXPECT_EQ(model.limits().max_inline_prompts(), 6);
}

TEST_F(InlineClassifierTest, NeedsThePermissionToBuild) {
  Start(WithTokens());
  const v1::ClassifyRequest request = Request(BuildRequest({"cat", "dog"}));
  const absl::Status denied = Failure(request, absl::Seconds(60), "shop-token");
  EXPECT_EQ(denied.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(client::ReasonOf(denied), "PERMISSION_DENIED");
  EXPECT_EQ(running_->text_calls(), 0);
  Context context;
  context.AddMetadata("authorization", "Bearer trainer-token");
  v1::ClassifyResponse response;
  EXPECT_TRUE(running_->stub().Classify(&context, request, &response).ok());
  // Nor does it help that it is there.
  EXPECT_EQ(Failure(request, absl::Seconds(60), "shop-token").code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(InlineClassifierTest, OtherSetsMayStandBesideIt) {
  Start();
  const std::string other = running_->Build(BuildRequest({"sun", "sea"}));
  v1::ClassifyRequest request = Request(BuildRequest({"cat", "dog"}));
  request.add_more_weight_set_ids(other);
  const v1::ClassifyResponse answer = Answer(request);
  ASSERT_EQ(answer.more_size(), 1);
  EXPECT_EQ(answer.more(0).weight_set_id(), other);
  EXPECT_NE(answer.weight_set_id(), other);
  // One that is wrong costs no build.
  const int texts = running_->text_calls();
  request = Request(BuildRequest({"owl", "elk"}));
  request.add_more_weight_set_ids(std::string(64, '0'));
  EXPECT_EQ(client::ReasonOf(Failure(request)), "WEIGHT_SET_NOT_FOUND");
  EXPECT_EQ(running_->text_calls(), texts);
}

TEST_F(InlineClassifierTest, TheDeadlineHoldsWhileItIsBuilt) {
  Start();
  running_->model().CloseGate();
  const v1::ClassifyRequest request = Request(BuildRequest({"cat", "dog"}));
  EXPECT_EQ(Failure(request, absl::Milliseconds(200)).code(),
            absl::StatusCode::kDeadlineExceeded);
  WaitForMetric("zeroshot_build_calls 0");
  running_->model().OpenGate();
  EXPECT_EQ(Answer(request).predictions_size(), 2);
}

TEST_F(InlineClassifierTest, ACancelledCallEndsItsBuild) {
  Start();
  running_->model().CloseGate();
  Context context;
  v1::ClassifyResponse response;
  auto call = std::async(std::launch::async, [&] {
    return running_->stub().Classify(
        &context, Request(BuildRequest({"cat", "dog"})), &response);
  });
  ASSERT_TRUE(running_->model().WaitForCallsAtGate(1));
  WaitForMetric("zeroshot_build_calls 1");
  // The image's place is others' meanwhile.
  WaitForMetric("zeroshot_inflight_calls 0");
  context.TryCancel();
  EXPECT_EQ(call.get().error_code(), grpc::StatusCode::CANCELLED);
  WaitForMetric("zeroshot_build_calls 0");
}

TEST_F(InlineClassifierTest, BuildsAtOnceAreAsFewAsOtherBuilds) {
  ServerOptions options;
  options.max_builds = 1;
  Start(options);
  running_->model().CloseGate();
  auto inside = std::async(std::launch::async, [&] {
    return Answer(Request(BuildRequest({"cat"})));
  });
  ASSERT_TRUE(running_->model().WaitForCallsAtGate(1));
  const absl::Status full = Failure(Request(BuildRequest({"dog"})));
  EXPECT_EQ(client::ReasonOf(full), "TOO_MANY_BUILDS");
  EXPECT_EQ(client::ErrorInfoOf(full)->metadata["cause"], "builds");
  // Those who want the same wait for it.
  auto joined = std::async(std::launch::async, [&] {
    return Answer(Request(BuildRequest({"cat"})));
  });
  WaitForMetric("zeroshot_build_calls 2");
  running_->model().OpenGate();
  EXPECT_EQ(inside.get().weight_set_id(), joined.get().weight_set_id());
}

}  // namespace
}  // namespace zeroshot::server
