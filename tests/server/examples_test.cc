// Classes shown by example images and embeddings, over the wire.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <future>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/error_info.h"
#include "client/grpc_status.h"
#include "tests/server/running_server.h"
#include "tests/testing/make_png.h"
#include "tests/testing/temporary_folder.h"

namespace zeroshot::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing_images::MakePng;

class ExamplesTest : public ::testing::Test {
 protected:
  void Start(const ServerOptions& options = {}) {
    running_ = std::make_unique<RunningServer>(options);
  }

  static v1::BuildClassifierRequest CatsAndDogs() {
    auto request = BuildRequest({"cat", "dog"});
    v1::ClassDefinition* const dog = request.mutable_classes(1);
    dog->add_example_images(MakePng(1));
    dog->add_example_images(MakePng(2));
    return request;
  }

  grpc::Status Build(const v1::BuildClassifierRequest& request,
                     v1::BuildClassifierResponse* response) {
    Context context;
    return running_->stub().BuildClassifier(&context, request, response);
  }

  // The field that is wrong.
  std::string WrongField(const v1::BuildClassifierRequest& request) {
    v1::BuildClassifierResponse response;
    const absl::Status status =
        client::FromGrpcStatus(Build(request, &response));
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_EQ(client::ReasonOf(status), "INVALID_FIELD");
    const auto info = client::ErrorInfoOf(status);
    return info.has_value() ? info->metadata.at("field") : "";
  }

  std::vector<float> Embedded(const std::vector<std::string>& images) {
    v1::EmbedImagesRequest request;
    for (const std::string& image : images) request.add_images(image);
    Context context;
    v1::EmbedImagesResponse response;
    const grpc::Status status =
        running_->stub().EmbedImages(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return {response.embeddings().begin(), response.embeddings().end()};
  }

  // Cosine of an image and class 1.
  float Cosine(const std::string& id, const std::string& image) {
    v1::ClassifyRequest request;
    request.set_image(image);
    request.set_weight_set_id(id);
    v1::ClassifyResponse response;
    const grpc::Status status = running_->Classify(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    for (const v1::Prediction& prediction : response.predictions()) {
      if (prediction.class_index() == 1) return prediction.cosine();
    }
    return NAN;
  }

  std::unique_ptr<RunningServer> running_;
};

TEST_F(ExamplesTest, ImagesAndTheirEmbeddingsMakeTheSameClass) {
  Start();
  v1::BuildClassifierResponse by_image, by_embedding;
  ASSERT_TRUE(Build(CatsAndDogs(), &by_image).ok());
  EXPECT_EQ(by_image.num_examples(), 2);
  EXPECT_EQ(by_image.num_prompts(), 2);
  auto request = CatsAndDogs();
  v1::ClassDefinition* const dog = request.mutable_classes(1);
  dog->clear_example_images();
  for (const float x : Embedded({MakePng(1), MakePng(2)})) {
    dog->add_example_embeddings(x);
  }
  ASSERT_TRUE(Build(request, &by_embedding).ok());
  EXPECT_EQ(by_embedding.num_examples(), 2);
  EXPECT_NE(by_image.weight_set_id(), by_embedding.weight_set_id());
  for (const std::string& image : {MakePng(1), MakePng(3)}) {
    EXPECT_NEAR(Cosine(by_image.weight_set_id(), image),
                Cosine(by_embedding.weight_set_id(), image), 1e-6);
  }
}

TEST_F(ExamplesTest, AClassOfOneImageAloneIsThatImage) {
  Start();
  auto request = CatsAndDogs();
  v1::ClassDefinition* const dog = request.mutable_classes(1);
  dog->mutable_example_images()->RemoveLast();
  dog->set_example_weight(1);
  v1::BuildClassifierResponse built;
  ASSERT_TRUE(Build(request, &built).ok());
  EXPECT_EQ(built.num_prompts(), 1);
  EXPECT_NEAR(Cosine(built.weight_set_id(), MakePng(1)), 1, 1e-6);
}

TEST_F(ExamplesTest, WhatIsWrongNamesItsField) {
  ServerOptions options;
  options.build.max_examples = 2;
  Start(options);
  auto request = CatsAndDogs();
  request.mutable_classes(1)->set_example_images(1, "no image");
  EXPECT_EQ(WrongField(request), "classes[1].example_images[1]");
  request = CatsAndDogs();
  request.mutable_classes(0)->add_example_images(MakePng(3));
  EXPECT_EQ(WrongField(request), "example_images");  // not even parsed
  request = CatsAndDogs();
  request.mutable_classes(0)->set_example_weight(0.5);
  EXPECT_EQ(WrongField(request), "classes[0].example_weight");
  request.mutable_classes(0)->add_example_embeddings(1);
  EXPECT_EQ(WrongField(request), "classes[0].example_embeddings");
  request = CatsAndDogs();
  for (const float x : Embedded({MakePng(3)})) {
    request.mutable_classes(0)->add_example_embeddings(x);
  }
  EXPECT_EQ(WrongField(request), "classes");  // three examples
}

TEST_F(ExamplesTest, AStreamedBuildReportsItsImages) {
  Start();
  auto request = CatsAndDogs();
  for (int i = 3; i < 40; ++i) {
    request.mutable_classes(1)->add_example_images(MakePng(i));
  }
  Context context;
  const auto reader = running_->stub().BuildClassifierStream(&context, request);
  v1::BuildClassifierStreamResponse event, last;
  int progress = 0;
  while (reader->Read(&event)) {
    if (event.has_progress()) {
      ++progress;
      EXPECT_EQ(event.progress().prompts_total(), 39 + 2);
    }
    last = event;
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_GE(progress, 1);
  EXPECT_EQ(last.result().num_examples(), 39);
}

TEST_F(ExamplesTest, AClassifierWithinACallMayHaveThem) {
  ServerOptions options;
  options.max_inline_prompts = 4;
  Start(options);
  v1::ClassifyRequest request;
  request.set_image(MakePng(1));
  *request.mutable_classifier() = CatsAndDogs();
  v1::ClassifyResponse response;
  const grpc::Status status = running_->Classify(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.build().num_examples(), 2);
  v1::BuildClassifierResponse built;
  ASSERT_TRUE(Build(CatsAndDogs(), &built).ok());
  EXPECT_TRUE(built.cached());
  EXPECT_EQ(built.weight_set_id(), response.weight_set_id());
  // Examples count as prompts do.
  request.mutable_classifier()->add_templates("a {}");
  request.mutable_classifier()->add_templates("the {}");
  const absl::Status refused =
      client::FromGrpcStatus(running_->Classify(request, &response));
  EXPECT_THAT(refused.message(),
              AllOf(HasSubstr("6 prompts (classes x templates) and examples"),
                    HasSubstr("--max_inline_prompts")));
  // One that is damaged is the classifier's fault, not the image's.
  *request.mutable_classifier() = CatsAndDogs();
  request.mutable_classifier()->mutable_classes(1)->set_example_images(
      0, "no image");
  const absl::Status damaged =
      client::FromGrpcStatus(running_->Classify(request, &response));
  EXPECT_EQ(client::ReasonOf(damaged), "INVALID_FIELD") << damaged;
  EXPECT_THAT(damaged.message(),
              HasSubstr("classifier: classes[1].example_images[0]"));
}

TEST_F(ExamplesTest, AStoredSetIsServedByAServerThatStartsAnew) {
  const testing::TemporaryFolder folder;
  ServerOptions options;
  options.disk_store = folder.path();
  Start(options);
  v1::BuildClassifierResponse built, found;
  ASSERT_TRUE(Build(CatsAndDogs(), &built).ok());
  running_ = nullptr;
  Start(options);
  const float cosine = Cosine(built.weight_set_id(), MakePng(1));
  EXPECT_GT(cosine, 0.3f);
  ASSERT_TRUE(Build(CatsAndDogs(), &found).ok());
  EXPECT_TRUE(found.cached());
  EXPECT_EQ(found.num_examples(), 2);
  EXPECT_EQ(running_->image_batches(), 1);  // of Cosine
}

TEST_F(ExamplesTest, ImagesOfABuildWaitForPlacesThatOthersHave) {
  ServerOptions options;
  options.max_inflight = 2;
  Start(options);
  const std::string id = running_->Build(BuildRequest({"cat", "dog"}));
  running_->model().CloseGate();
  v1::EmbedImagesRequest images;
  images.add_images(MakePng(7));
  images.add_images(MakePng(8));
  auto embed = std::async(std::launch::async, [&] {
    Context context;
    v1::EmbedImagesResponse response;
    return running_->stub().EmbedImages(&context, images, &response).ok();
  });
  ASSERT_TRUE(running_->model().WaitForCallsAtGate(1));
  v1::BuildClassifierResponse built;
  auto build = std::async(std::launch::async, [&] {
    return Build(CatsAndDogs(), &built).error_message();
  });
  const std::string line = "zeroshot_build_calls 1\n";
  while (
      !absl::StrContains(running_->server().status_source().metrics(), line)) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  running_->model().OpenGate();
  EXPECT_TRUE(embed.get());
  EXPECT_EQ(build.get(), "");
  EXPECT_EQ(built.num_examples(), 2);
}

// --- ClassifyBatch with embeddings ---

class ScoreEmbeddingsTest : public ExamplesTest {
 protected:
  v1::ClassifyBatchRequest Request(const std::vector<float>& embeddings) {
    v1::ClassifyBatchRequest request;
    request.mutable_embeddings()->Add(embeddings.begin(), embeddings.end());
    return request;
  }
  grpc::Status Ask(const v1::ClassifyBatchRequest& request,
                   v1::ClassifyBatchResponse* response) {
    Context context;
    return running_->stub().ClassifyBatch(&context, request, response);
  }
  std::string Refusal(const v1::ClassifyBatchRequest& request) {
    v1::ClassifyBatchResponse response;
    const absl::Status status = client::FromGrpcStatus(Ask(request, &response));
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    const auto info = client::ErrorInfoOf(status);
    EXPECT_TRUE(info.has_value() && info->metadata.at("field") == "embeddings")
        << status;
    return std::string(status.message());
  }
};

TEST_F(ScoreEmbeddingsTest, TheyAreAnsweredAsTheirImages) {
  Start();
  auto spec = BuildRequest({"cat", "dog", "owl"});
  spec.mutable_classes(0)->set_group("pet");
  spec.mutable_classes(1)->set_group("pet");
  spec.mutable_classes(2)->set_min_probability(0.9);
  spec.add_background("sky");
  spec.set_temperature(3);
  const std::string id = running_->Build(spec);
  const std::string other = running_->Build(BuildRequest({"sun", "sea"}));
  const std::vector<std::string> images = {MakePng(1), MakePng(2), MakePng(3)};
  v1::ClassifyBatchRequest by_image;
  for (const std::string& image : images) by_image.add_images(image);
  v1::ClassifyBatchRequest by_embedding = Request(Embedded(images));
  const int batches = running_->image_batches();
  for (auto* request : {&by_embedding, &by_image}) {
    request->set_weight_set_id(id);
    request->add_more_weight_set_ids(other);
    request->set_top_k(2);
    request->set_return_probabilities(true);
    request->set_min_probability(0.4);
    request->set_score_function(v1::SCORE_FUNCTION_SOFTMAX);
  }
  v1::ClassifyBatchResponse embeddings, expected;
  ASSERT_TRUE(Ask(by_embedding, &embeddings).ok());
  EXPECT_EQ(running_->image_batches(), batches);
  ASSERT_TRUE(Ask(by_image, &expected).ok());
  ASSERT_EQ(embeddings.items_size(), 3);
  for (int i = 0; i < 3; ++i) {
    v1::ClassifyResponse* const answer =
        embeddings.mutable_items(i)->mutable_answer();
    answer->clear_timing();
    expected.mutable_items(i)->mutable_answer()->clear_timing();
    EXPECT_EQ(answer->SerializeAsString(),
              expected.items(i).answer().SerializeAsString());
  }
}

TEST_F(ScoreEmbeddingsTest, TheClassifierMayComeAlong) {
  Start();
  v1::ClassifyBatchRequest request = Request(Embedded({MakePng(1)}));
  *request.mutable_classifier() = CatsAndDogs();
  v1::ClassifyBatchResponse response;
  ASSERT_TRUE(Ask(request, &response).ok());
  EXPECT_FALSE(response.build().cached());
  EXPECT_EQ(response.items(0).answer().predictions(0).class_name(), "dog");
}

TEST_F(ScoreEmbeddingsTest, WhatIsNoUnitVectorOfTheModelIsRefused) {
  ServerOptions options;
  options.max_batch_items = 2;
  Start(options);
  const std::string id = running_->Build(BuildRequest({"cat", "dog"}));
  std::vector<float> good = Embedded({MakePng(1)});
  const auto refusal = [&](const std::vector<float>& embeddings) {
    v1::ClassifyBatchRequest request = Request(embeddings);
    request.set_weight_set_id(id);
    return Refusal(request);
  };
  std::vector<float> wrong = good;
  wrong.pop_back();
  EXPECT_THAT(refusal(wrong), HasSubstr("63 floats; vectors of this model "
                                        "have 64"));
  wrong = good;
  for (float& x : wrong) x *= 1.01f;
  EXPECT_THAT(refusal(wrong), HasSubstr("has length 1.01; 1 within 0.001"));
  wrong = good;
  wrong[5] = NAN;
  EXPECT_THAT(refusal(wrong), HasSubstr("not finite"));
  wrong = good;
  for (int more = 0; more < 2; ++more) {
    wrong.insert(wrong.end(), good.begin(), good.end());
  }
  EXPECT_THAT(refusal(wrong), HasSubstr("3 vectors; at most 2 are allowed"));
  v1::ClassifyBatchRequest both = Request(good);
  both.set_weight_set_id(id);
  both.add_images(MakePng(1));
  EXPECT_THAT(Refusal(both), HasSubstr("both `images` and `embeddings`"));
  // As float16 rounds them they are good.
  for (float& x : good) x *= 1.0005f;
  v1::ClassifyBatchRequest request = Request(good);
  request.set_weight_set_id(id);
  v1::ClassifyBatchResponse response;
  EXPECT_TRUE(Ask(request, &response).ok());
}

TEST_F(ScoreEmbeddingsTest, TheyTakeNoPlaceOfImages) {
  ServerOptions options;
  options.max_inflight = 1;
  Start(options);
  const std::string id = running_->Build(BuildRequest({"cat", "dog"}));
  v1::ClassifyBatchRequest request =
      Request(Embedded({MakePng(1), MakePng(2)}));
  request.set_weight_set_id(id);
  running_->model().CloseGate();
  v1::EmbedImagesRequest image;
  image.add_images(MakePng(7));
  auto embed = std::async(std::launch::async, [&] {
    Context context;
    v1::EmbedImagesResponse response;
    return running_->stub().EmbedImages(&context, image, &response).ok();
  });
  ASSERT_TRUE(running_->model().WaitForCallsAtGate(1));
  v1::ClassifyBatchResponse response;
  EXPECT_EQ(Ask(request, &response).error_message(), "");
  EXPECT_EQ(response.items_size(), 2);
  running_->model().OpenGate();
  EXPECT_TRUE(embed.get());
}

}  // namespace
}  // namespace zeroshot::server
