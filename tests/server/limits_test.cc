// Each limit over the wire: what is over it is refused, with an error that
// names what was found and what is allowed, and what is at it is taken.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "tests/server/running_server.h"
#include "tests/testing/make_png.h"

namespace zeroshot::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing_images::MakePng;

std::string BuildError(RunningServer& running,
                       const v1::BuildClassifierRequest& request) {
  Context context;
  v1::BuildClassifierResponse response;
  const grpc::Status status =
      running.stub().BuildClassifier(&context, request, &response);
  if (status.ok()) return "";
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  return status.error_message();
}

TEST(LimitsTest, ClassesTemplatesPromptsAndTextsOfABuild) {
  ServerOptions options;
  options.build.max_classes = 3;
  options.build.max_templates = 2;
  options.build.max_prompts = 4;
  options.build.max_text_bytes = 20;
  RunningServer running(options);
  EXPECT_EQ(BuildError(running, BuildRequest({"a", "b", "c"}, {"{}"})), "");
  EXPECT_THAT(BuildError(running, BuildRequest({"a", "b", "c", "d"})),
              HasSubstr("too many classes: 4 given, 3 allowed"));
  EXPECT_THAT(
      BuildError(running, BuildRequest({"a"}, {"{}", "a {}", "the {}"})),
      HasSubstr("too many templates: 3 given, 2 allowed"));
  EXPECT_THAT(
      BuildError(running, BuildRequest({"a", "b", "c"}, {"{}", "a {}"})),
      HasSubstr("too many prompts (classes x templates): 6 given, 4 allowed"));
  EXPECT_THAT(BuildError(running, BuildRequest({"a name of 22 bytes now"})),
              AllOf(HasSubstr("classes[0]"),
                    HasSubstr("has 22 bytes, 20 are allowed")));
  EXPECT_THAT(
      BuildError(running, BuildRequest({"a"}, {"a template of {} bytes"})),
      AllOf(HasSubstr("templates[0]"),
            HasSubstr("has 22 bytes, 20 are allowed")));
}

TEST(LimitsTest, BytesAndPixelsOfAPicture) {
  const std::string picture = MakePng(1);
  const auto error_of = [&picture](const ServerOptions& options) {
    RunningServer running(options);
    v1::ClassifyRequest request;
    request.set_weight_set_id(running.Build(BuildRequest({"cat"})));
    request.set_image(picture);
    v1::ClassifyResponse response;
    const grpc::Status status = running.Classify(request, &response);
    if (status.ok()) return std::string();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    return status.error_message();
  };
  const int64_t size = picture.size();
  ServerOptions options;
  options.embedder.max_image_bytes = size;
  EXPECT_EQ(error_of(options), "");
  options.embedder.max_image_bytes = size - 1;
  EXPECT_THAT(error_of(options),
              HasSubstr(absl::StrCat("has ", size, " bytes, ", size - 1,
                                     " are allowed")));
  options = ServerOptions();
  options.embedder.decode.max_pixels = 3;
  EXPECT_THAT(error_of(options),
              AllOf(HasSubstr("pixels"), HasSubstr("3 are allowed")));
}

TEST(LimitsTest, ItemsOfAnEmbedCall) {
  ServerOptions options;
  options.max_batch_items = 2;
  RunningServer running(options);
  v1::EmbedTextsRequest request;
  for (const char* text : {"a", "b", "c"}) request.add_texts(text);
  Context context;
  v1::EmbedTextsResponse response;
  const grpc::Status status =
      running.stub().EmbedTexts(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(),
              HasSubstr("texts has 3 items; allowed are at most 2"));
}

TEST(LimitsTest, MemoryOfWeightSets) {
  ServerOptions options;
  options.memory_store_bytes = 500;
  RunningServer running(options);
  Context context;
  v1::BuildClassifierResponse response;
  const grpc::Status status = running.stub().BuildClassifier(
      &context, BuildRequest({"a", "b", "c"}), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(),
              AllOf(HasSubstr("the weight set takes "),
                    HasSubstr("500 (--memory_store_bytes)")));
}

TEST(LimitsTest, AnswersOverFourMegabytesReachOurClient) {
  RunningServer running;
  client::ClassifierSpec spec;
  for (int i = 0; i < 15'000; ++i) {
    spec.classes.push_back({absl::StrCat(std::string(300, 'x'), i), {"x"}});
  }
  const auto client = client::Client::Connect(
      absl::StrCat("127.0.0.1:", running.server().port()));
  ASSERT_TRUE(client.ok()) << client.status();
  const auto built = (*client)->Build(spec);
  ASSERT_TRUE(built.ok()) << built.status();
  const auto set = (*client)->GetWeightSet(built->weight_set_id);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->class_names.size(), 15'000);
}

}  // namespace
}  // namespace zeroshot::server
