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
  EXPECT_THAT(
      BuildError(running, BuildRequest({"a", "b", "c", "d"})),
      HasSubstr("classes has 4 items; at most 3 are allowed (--max_classes)"));
  EXPECT_THAT(
      BuildError(running, BuildRequest({"a"}, {"{}", "a {}", "the {}"})),
      HasSubstr("templates has 3 items; at most 2 are allowed"));
  EXPECT_THAT(
      BuildError(running, BuildRequest({"a", "b", "c"}, {"{}", "a {}"})),
      HasSubstr("too many prompts (classes x templates): 6 are given; at most "
                "4 are allowed"));
  EXPECT_THAT(BuildError(running, BuildRequest({"a name of 22 bytes now"})),
              AllOf(HasSubstr("classes[0]"),
                    HasSubstr("has 22 bytes; at most 20 are allowed")));
  EXPECT_THAT(
      BuildError(running, BuildRequest({"a"}, {"a template of {} bytes"})),
      AllOf(HasSubstr("templates[0]"),
            HasSubstr("has 22 bytes; at most 20 are allowed")));
}

TEST(LimitsTest, BytesAndPixelsOfAnImage) {
  const std::string image = MakePng(1);
  const auto error_of = [&image](const ServerOptions& options) {
    RunningServer running(options);
    v1::ClassifyRequest request;
    request.set_weight_set_id(running.Build(BuildRequest({"cat"})));
    request.set_image(image);
    v1::ClassifyResponse response;
    const grpc::Status status = running.Classify(request, &response);
    if (status.ok()) return std::string();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    return status.error_message();
  };
  const int64_t size = image.size();
  ServerOptions options;
  options.embedder.max_image_bytes = size;
  EXPECT_EQ(error_of(options), "");
  options.embedder.max_image_bytes = size - 1;
  EXPECT_THAT(error_of(options),
              HasSubstr(absl::StrCat("has ", size, " bytes; at most ", size - 1,
                                     " are allowed")));
  options = ServerOptions();
  options.embedder.decode.max_pixels = 3;
  EXPECT_THAT(error_of(options),
              AllOf(HasSubstr("pixels"), HasSubstr("3 are allowed")));
}

std::string ClassifyError(RunningServer& running,
                          const v1::ClassifyRequest& request) {
  v1::ClassifyResponse response;
  const grpc::Status status = running.Classify(request, &response);
  if (status.ok()) return "";
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  return status.error_message();
}

TEST(LimitsTest, PredictionsOfOneAnswer) {
  ServerOptions options;
  options.max_top_k = 2;
  RunningServer running(options);
  v1::ClassifyRequest request;
  request.set_weight_set_id(running.Build(BuildRequest({"a", "b", "c"})));
  request.set_image(MakePng(1));
  request.set_top_k(2);
  EXPECT_EQ(ClassifyError(running, request), "");
  for (const uint32_t top_k : {3u, 1u << 30, 1u << 31, ~0u}) {
    request.set_top_k(top_k);
    EXPECT_THAT(ClassifyError(running, request),
                AllOf(HasSubstr(absl::StrCat("top_k is ", top_k)),
                      HasSubstr("at most 2"), HasSubstr("--max_top_k")));
  }
}

TEST(LimitsTest, AnIdIsNamedOnce) {
  RunningServer running;
  const std::string a = running.Build(BuildRequest({"a"}));
  const std::string b = running.Build(BuildRequest({"b"}));
  v1::ClassifyRequest request;
  request.set_image(MakePng(1));
  request.set_weight_set_id(a);
  request.add_more_weight_set_ids(b);
  EXPECT_EQ(ClassifyError(running, request), "");
  request.add_more_weight_set_ids(a);
  EXPECT_THAT(ClassifyError(running, request),
              AllOf(HasSubstr(a), HasSubstr("twice")));
  request.set_more_weight_set_ids(1, b);
  EXPECT_THAT(ClassifyError(running, request),
              AllOf(HasSubstr(b), HasSubstr("twice")));
}

TEST(LimitsTest, BytesOfAnAnswer) {
  ServerOptions options;
  options.max_answer_bytes = 64 << 10;
  options.build.max_text_bytes = 100 << 10;
  RunningServer running(options);
  v1::BuildClassifierRequest build;
  for (int i = 0; i < 20; ++i) {
    auto* added = build.add_classes();
    added->set_name(absl::StrCat(std::string(6 << 10, 'n'), i));
    added->add_prompts("x");
  }
  v1::ClassifyRequest request;
  request.set_weight_set_id(running.Build(build));
  request.set_image(MakePng(1));
  request.set_top_k(10);
  EXPECT_EQ(ClassifyError(running, request), "");
  const int batches = running.image_batches();
  // Names count: no image is looked at for an answer that may not leave.
  request.set_top_k(11);
  EXPECT_THAT(ClassifyError(running, request),
              AllOf(HasSubstr("would have 68"), HasSubstr("at most 65536"),
                    HasSubstr("--max_answer_bytes")));
  EXPECT_EQ(running.image_batches(), batches);
  // So do those of a description.
  v1::GetWeightSetRequest get;
  get.set_weight_set_id(request.weight_set_id());
  v1::GetWeightSetResponse description;
  Context context;
  const grpc::Status status =
      running.stub().GetWeightSet(&context, get, &description);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("--max_answer_bytes"));
  // And probabilities of all sets together.
  v1::BuildClassifierRequest many;
  for (int i = 0; i < 10'000; ++i) {
    auto* added = many.add_classes();
    added->set_name(absl::StrCat(i));
    added->add_prompts("x");
  }
  request.set_weight_set_id(running.Build(many));
  request.set_top_k(1);
  request.set_return_probabilities(true);
  EXPECT_EQ(ClassifyError(running, request), "");
  many.mutable_classes(0)->set_name("other");
  request.add_more_weight_set_ids(running.Build(many));
  EXPECT_THAT(ClassifyError(running, request), HasSubstr("would have 80"));
}

TEST(LimitsTest, VectorsOfAnEmbedCall) {
  ServerOptions options;
  options.max_answer_bytes = 64 << 10;  // 256 vectors of the fake model
  options.max_batch_items = 1000;
  RunningServer running(options);
  v1::EmbedTextsRequest request;
  v1::EmbedTextsResponse response;
  for (int i = 0; i < 256; ++i) request.add_texts("a");
  {
    Context context;
    EXPECT_TRUE(running.stub().EmbedTexts(&context, request, &response).ok());
  }
  request.add_texts("a");
  Context context;
  const grpc::Status status =
      running.stub().EmbedTexts(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(),
              HasSubstr("257 texts take 65792 bytes; at most 65536"));
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
              HasSubstr("texts has 3 items; at most 2 are allowed"));
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
  const auto set = (*client)->GetWeightSet(built->weight_set_id());
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->class_names_size(), 15'000);
}

}  // namespace
}  // namespace zeroshot::server
