// Classify, EmbedImages, EmbedTexts and GetModel over the wire.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <future>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "clip/clip_tokenizer.h"
#include "clip/image.h"
#include "tests/server/raw_call.h"
#include "tests/server/running_server.h"
#include "tests/testing/encode_text.h"
#include "tests/testing/make_png.h"

namespace zeroshot::server {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;
using testing_images::MakePng;

std::vector<float> ImageRow(clip::FakeModel& model, const std::string& png) {
  const std::vector<uint8_t> crop = clip::CropForModel(
      *clip::DecodeImage(png), model.info().preprocessing.crop.side);
  const absl::Span<const uint8_t> crops[] = {crop};
  return *model.EncodeImages(crops);
}

std::vector<float> TextRow(clip::FakeModel& model, const std::string& text) {
  const std::vector<int32_t> tokens = *clip::ClipTokenizer().Encode(text);
  return *clip::testing::EncodeText(model, {tokens});
}

double Dot(absl::Span<const float> a, absl::Span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
  return sum;
}

double Seconds(const google::protobuf::Duration& duration) {
  return duration.seconds() + duration.nanos() * 1e-9;
}

v1::ClassifyRequest Request(const std::string& image, const std::string& id) {
  v1::ClassifyRequest request;
  request.set_image(image);
  request.set_weight_set_id(id);
  return request;
}

TEST(ClassifyTest, AnswersTheSoftmaxOfTheScaledCosines) {
  RunningServer running;
  const std::vector<std::string> names = {"cat", "dog", "owl"};
  const std::string id =
      running.Build(BuildRequest({"cat", "dog", "owl"}, {"a {}"}));
  const std::string png = MakePng(1);
  v1::ClassifyRequest request = Request(png, id);
  request.set_return_probabilities(true);
  v1::ClassifyResponse response;
  const grpc::Status status = running.Classify(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();

  const std::vector<float> image = ImageRow(running.model(), png);
  std::vector<double> logits, exps;
  double sum = 0;
  for (const std::string& name : names) {
    logits.push_back(100 * Dot(image, TextRow(running.model(), "a " + name)));
    exps.push_back(std::exp(logits.back()));
    sum += exps.back();
  }
  ASSERT_EQ(response.predictions_size(), 3);
  ASSERT_EQ(response.probabilities_size(), 3);
  for (const v1::Prediction& prediction : response.predictions()) {
    const int c = prediction.class_index();
    EXPECT_EQ(prediction.class_name(), names[c]);
    EXPECT_NEAR(prediction.logit(), logits[c], 1e-4);
    EXPECT_NEAR(prediction.probability(), exps[c] / sum, 1e-5);
    EXPECT_EQ(prediction.probability(), response.probabilities(c));
  }
  for (int i = 1; i < 3; ++i) {
    EXPECT_GE(response.predictions(i - 1).logit(),
              response.predictions(i).logit());
  }
}

TEST(ClassifyTest, TopKIsFiveByDefaultAndAtMostAllClasses) {
  RunningServer running;
  const std::string id =
      running.Build(BuildRequest({"a", "b", "c", "d", "e", "f", "g"}));
  v1::ClassifyRequest request = Request(MakePng(1), id);
  const auto count = [&](uint32_t top_k) {
    request.set_top_k(top_k);
    v1::ClassifyResponse response;
    EXPECT_TRUE(running.Classify(request, &response).ok());
    EXPECT_EQ(response.probabilities_size(), 0);
    return response.predictions_size();
  };
  EXPECT_EQ(count(0), 5);
  EXPECT_EQ(count(2), 2);
  EXPECT_EQ(count(7), 7);
  EXPECT_EQ(count(1000), 7);
}

TEST(ClassifyTest, TimingPartsFillTheTotal) {
  RunningServer running;
  const std::string id = running.Build(BuildRequest({"cat", "dog"}));
  running.model().CloseGate();
  v1::ClassifyResponse response;
  auto call = std::async(std::launch::async, [&] {
    return running.Classify(Request(MakePng(1, 300, 200), id), &response);
  });
  ASSERT_TRUE(running.model().WaitForCallsAtGate(1));
  absl::SleepFor(absl::Milliseconds(20));  // time to be seen as compute
  running.model().OpenGate();
  ASSERT_TRUE(call.get().ok());
  const v1::ClassifyTiming& timing = response.timing();
  EXPECT_GT(Seconds(timing.decode()), 0);
  EXPECT_GT(Seconds(timing.preprocess()), 0);
  EXPECT_GE(Seconds(timing.queue()), 0);
  EXPECT_GE(Seconds(timing.compute()), 0.02);
  EXPECT_GE(Seconds(timing.total()),
            Seconds(timing.decode()) + Seconds(timing.preprocess()) +
                Seconds(timing.queue()) + Seconds(timing.compute()));
}

TEST(ClassifyTest, CallsWaitingForTheDeviceGoTogether) {
  RunningServer running;
  const std::string id = running.Build(BuildRequest({"cat", "dog"}));
  running.model().CloseGate();
  std::vector<std::future<grpc::Status>> calls;
  const auto start = [&](uint32_t seed) {
    calls.push_back(std::async(std::launch::async, [&running, &id, seed] {
      v1::ClassifyResponse response;
      return running.Classify(Request(MakePng(seed), id), &response);
    }));
  };
  start(0);
  ASSERT_TRUE(running.model().WaitForCallsAtGate(1));
  for (uint32_t seed = 1; seed <= 8; ++seed) start(seed);
  absl::SleepFor(absl::Milliseconds(300));  // let the eight queue up
  running.model().OpenGate();
  for (auto& call : calls) EXPECT_TRUE(call.get().ok());
  EXPECT_THAT(running.image_batches(), AllOf(Ge(2), Le(4)));
}

TEST(ClassifyTest, RefusesWhatIsNoImage) {
  ServerOptions options;
  options.embedder.max_image_bytes = 3000;
  options.embedder.decode.max_pixels = 500;
  RunningServer running(options);
  const std::string id = running.Build(BuildRequest({"cat"}));
  v1::ClassifyResponse response;
  const auto error = [&](const std::string& image) {
    const grpc::Status status = running.Classify(Request(image, id), &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    return status.error_message();
  };
  EXPECT_THAT(error("not an image"), HasSubstr("JPEG"));
  EXPECT_NE(error(""), "");
  EXPECT_NE(error(MakePng(1).substr(0, 200)), "");
  EXPECT_THAT(error(std::string(3001, 'x')), HasSubstr("3000"));
  EXPECT_THAT(error(MakePng(1, 30, 20)), HasSubstr("500"));
  EXPECT_EQ(running.image_batches(), 0);
}

TEST(ClassifyTest, UnknownWeightSetSaysHowToGetIt) {
  RunningServer running;
  v1::ClassifyResponse response;
  grpc::Status status =
      running.Classify(Request(MakePng(1), std::string(64, 'a')), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("BuildClassifier"));
  status = running.Classify(Request(MakePng(1), ""), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("weight_set_id"));
}

TEST(ClassifyTest, FullHouseRefusesWithARetryDelay) {
  ServerOptions options;
  options.max_inflight = 1;
  RunningServer running(options);
  const std::string id = running.Build(BuildRequest({"cat"}));
  running.model().CloseGate();
  auto inside = std::async(std::launch::async, [&] {
    v1::ClassifyResponse response;
    return running.Classify(Request(MakePng(1), id), &response);
  });
  ASSERT_TRUE(running.model().WaitForCallsAtGate(1));

  v1::ClassifyResponse response;
  grpc::Status refused = running.Classify(Request(MakePng(2), id), &response);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr("1"));
  EXPECT_THAT(refused.error_details(), HasSubstr("google.rpc.RetryInfo"));
  Context context;
  v1::EmbedTextsRequest texts;
  v1::EmbedTextsResponse embedded;
  refused = running.stub().EmbedTexts(&context, texts, &embedded);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(RetryPushback(context), absl::Milliseconds(500));

  running.model().OpenGate();
  EXPECT_TRUE(inside.get().ok());
  EXPECT_TRUE(running.Classify(Request(MakePng(2), id), &response).ok());
}

TEST(ClassifyTest, DeadlineEndsTheWaitForTheDevice) {
  RunningServer running;
  const std::string id = running.Build(BuildRequest({"cat"}));
  running.model().CloseGate();
  auto busy = std::async(std::launch::async, [&] {
    v1::ClassifyResponse response;
    return running.Classify(Request(MakePng(1), id), &response);
  });
  ASSERT_TRUE(running.model().WaitForCallsAtGate(1));
  v1::ClassifyResponse response;
  EXPECT_EQ(
      running
          .Classify(Request(MakePng(2), id), &response, absl::Milliseconds(200))
          .error_code(),
      grpc::StatusCode::DEADLINE_EXCEEDED);
  running.WaitForMetric(
      "zeroshot_calls_total{code=\"DEADLINE_EXCEEDED\","
      "method=\"Classify\"} 1");
  running.model().OpenGate();
  EXPECT_TRUE(busy.get().ok());
  // The late image was dropped unrun.
  EXPECT_EQ(running.image_batches(), 1);
}

TEST(ClassifyTest, ImageOfAClientWhoLeftIsDroppedUnrun) {
  RunningServer running;
  const std::string id = running.Build(BuildRequest({"cat"}));
  running.model().CloseGate();
  auto busy = std::async(std::launch::async, [&] {
    v1::ClassifyResponse response;
    return running.Classify(Request(MakePng(1), id), &response);
  });
  ASSERT_TRUE(running.model().WaitForCallsAtGate(1));
  Context leaving;
  auto left = std::async(std::launch::async, [&] {
    v1::ClassifyResponse response;
    return running.stub().Classify(&leaving, Request(MakePng(2), id),
                                   &response);
  });
  running.WaitForMetric("zeroshot_pending_images 2");
  leaving.TryCancel();
  EXPECT_EQ(left.get().error_code(), grpc::StatusCode::CANCELLED);
  // The server hears of it before it hears of what the connection brings next.
  Context after;
  v1::GetModelResponse model;
  EXPECT_TRUE(running.stub().GetModel(&after, {}, &model).ok());
  running.model().OpenGate();
  EXPECT_TRUE(busy.get().ok());
  v1::ClassifyResponse response;
  EXPECT_TRUE(running.Classify(Request(MakePng(3), id), &response).ok());
  EXPECT_EQ(running.image_batches(), 2);
}

TEST(ClassifyTest, SeveralWeightSetsCostOneImagePass) {
  RunningServer running;
  const std::vector<std::string> ids = {
      running.Build(BuildRequest({"cat", "dog", "owl"})),
      running.Build(BuildRequest({"red", "green"})),
      running.Build(BuildRequest({"day", "night", "dusk"})),
      running.Build(BuildRequest({"indoors", "outdoors"}))};
  v1::ClassifyRequest request = Request(MakePng(1), ids[0]);
  request.set_return_probabilities(true);
  std::vector<v1::ClassifyResponse> alone(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    request.set_weight_set_id(ids[i]);
    ASSERT_TRUE(running.Classify(request, &alone[i]).ok());
    EXPECT_EQ(alone[i].more_size(), 0);
  }
  const int before = running.image_batches();
  request.set_weight_set_id(ids[0]);
  for (size_t i = 1; i < ids.size(); ++i) {
    request.add_more_weight_set_ids(ids[i]);
  }
  v1::ClassifyResponse together;
  const grpc::Status status = running.Classify(request, &together);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(running.image_batches(), before + 1);
  ASSERT_EQ(together.more_size(), 3);
  const auto expect_same = [](const auto& a, const auto& b) {
    ASSERT_EQ(a.predictions_size(), b.predictions_size());
    for (int i = 0; i < a.predictions_size(); ++i) {
      EXPECT_EQ(a.predictions(i).SerializeAsString(),
                b.predictions(i).SerializeAsString());
    }
    EXPECT_EQ(
        std::vector<float>(a.probabilities().begin(), a.probabilities().end()),
        std::vector<float>(b.probabilities().begin(), b.probabilities().end()));
  };
  expect_same(together, alone[0]);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(together.more(i).weight_set_id(), ids[i + 1]);
    expect_same(together.more(i), alone[i + 1]);
  }
}

TEST(ClassifyTest, OneWrongIdOfSeveralIsNamed) {
  ServerOptions options;
  options.max_weight_sets = 3;
  RunningServer running(options);
  const std::string id = running.Build(BuildRequest({"cat"}));
  v1::ClassifyResponse response;
  v1::ClassifyRequest request = Request(MakePng(1), id);
  request.add_more_weight_set_ids(running.Build(BuildRequest({"dog"})));
  EXPECT_TRUE(running.Classify(request, &response).ok());
  request.add_more_weight_set_ids(std::string(64, 'b'));
  grpc::Status status = running.Classify(request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr(std::string(64, 'b')));
  request.set_more_weight_set_ids(1, "");
  status = running.Classify(request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("more_weight_set_ids[1]"));
  request.add_more_weight_set_ids(id);
  status = running.Classify(request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(
      status.error_message(),
      HasSubstr("more_weight_set_ids has 3 items; at most 2 are allowed"));
  EXPECT_EQ(running.image_batches(), 1);
}

TEST(ClassifyTest, AKnownImageIsAnsweredWithoutTheTower) {
  ServerOptions options;
  options.embedder.image_cache_bytes = 1 << 20;
  RunningServer running(options);
  const std::string animals = running.Build(BuildRequest({"cat", "dog"}));
  const std::string colours = running.Build(BuildRequest({"red", "blue"}));
  v1::ClassifyResponse first, again, other;
  ASSERT_TRUE(running.Classify(Request(MakePng(1), animals), &first).ok());
  EXPECT_FALSE(first.embedding_cached());
  ASSERT_TRUE(running.Classify(Request(MakePng(1), animals), &again).ok());
  EXPECT_TRUE(again.embedding_cached());
  EXPECT_EQ(Seconds(again.timing().decode()), 0);
  EXPECT_EQ(Seconds(again.timing().compute()), 0);
  EXPECT_EQ(first.predictions(0).SerializeAsString(),
            again.predictions(0).SerializeAsString());
  ASSERT_TRUE(running.Classify(Request(MakePng(1), colours), &other).ok());
  EXPECT_TRUE(other.embedding_cached());
  EXPECT_EQ(running.image_batches(), 1);

  v1::EmbedImagesRequest embed;
  embed.add_images(MakePng(1));
  embed.add_images(MakePng(2));
  v1::EmbedImagesResponse embedded;
  Context context;
  ASSERT_TRUE(running.stub().EmbedImages(&context, embed, &embedded).ok());
  EXPECT_EQ(embedded.num_cached(), 1);
  EXPECT_EQ(running.image_batches(), 2);
  const std::string metrics = running.server().status_source().metrics();
  EXPECT_THAT(metrics,
              HasSubstr(R"(zeroshot_image_cache_gets_total{result="hit"} 3)"));
  EXPECT_THAT(metrics,
              HasSubstr(R"(zeroshot_image_cache_gets_total{result="miss"} 2)"));
  // Times of what was not done would make the others look short.
  EXPECT_THAT(metrics,
              HasSubstr(R"(zeroshot_stage_seconds_count{stage="decode"} 2)"));
}

TEST(EmbedTest, ImagesThatFailFailAlone) {
  RunningServer running;
  v1::EmbedImagesRequest request;
  request.add_images(MakePng(1));
  request.add_images("no image");
  request.add_images(MakePng(2));
  v1::EmbedImagesResponse response;
  Context context;
  ASSERT_TRUE(running.stub().EmbedImages(&context, request, &response).ok());
  ASSERT_EQ(response.embedding_dim(), 64);
  ASSERT_EQ(response.embeddings_size(), 3 * 64);
  ASSERT_EQ(response.statuses_size(), 3);
  const std::vector<float> got(response.embeddings().begin(),
                               response.embeddings().end());
  const absl::Span<const float> rows(got);
  EXPECT_EQ(rows.subspan(0, 64), ImageRow(running.model(), MakePng(1)));
  EXPECT_THAT(rows.subspan(64, 64), Each(0.0f));
  EXPECT_EQ(rows.subspan(128, 64), ImageRow(running.model(), MakePng(2)));
  EXPECT_EQ(response.statuses(0).code(), 0);
  EXPECT_EQ(response.statuses(1).code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_NE(response.statuses(1).message(), "");
  EXPECT_EQ(response.statuses(2).code(), 0);
}

TEST(EmbedTest, TextsThatFailFailAlone) {
  ServerOptions options;
  options.embedder.max_text_bytes = 1000;
  RunningServer running(options);
  v1::EmbedTextsRequest request;
  request.add_texts("a photo of a cat");
  std::string long_text;
  for (int i = 0; i < 90; ++i) long_text += "cat ";
  request.add_texts(long_text);
  request.add_texts(std::string(1001, 'x'));
  v1::EmbedTextsResponse response;
  Context context;
  ASSERT_TRUE(running.stub().EmbedTexts(&context, request, &response).ok());
  ASSERT_EQ(response.embeddings_size(), 3 * 64);
  const std::vector<float> got(response.embeddings().begin(),
                               response.embeddings().end());
  EXPECT_EQ(absl::MakeSpan(got).subspan(0, 64),
            TextRow(running.model(), "a photo of a cat"));
  EXPECT_EQ(response.statuses(0).code(), 0);
  EXPECT_EQ(response.statuses(1).code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(response.statuses(1).message(), HasSubstr("77"));
  EXPECT_EQ(response.statuses(2).code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(response.statuses(2).message(), HasSubstr("1000"));
}

TEST(EmbedTest, NothingAskedIsNothingAnswered) {
  RunningServer running;
  v1::EmbedImagesResponse images;
  v1::EmbedTextsResponse texts;
  Context first, second;
  ASSERT_TRUE(running.stub().EmbedImages(&first, {}, &images).ok());
  ASSERT_TRUE(running.stub().EmbedTexts(&second, {}, &texts).ok());
  EXPECT_EQ(images.statuses_size(), 0);
  EXPECT_EQ(texts.embedding_dim(), 64);
}

TEST(EmbedTest, BatchOverTheLimitIsRefusedWhole) {
  ServerOptions options;
  options.max_batch_items = 2;
  RunningServer running(options);
  v1::EmbedTextsRequest texts;
  v1::EmbedImagesRequest images;
  for (int i = 0; i < 3; ++i) texts.add_texts("cat");
  for (int i = 0; i < 3; ++i) images.add_images("x");
  v1::EmbedTextsResponse text_response;
  v1::EmbedImagesResponse image_response;
  Context first, second;
  grpc::Status status =
      running.stub().EmbedTexts(&first, texts, &text_response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(),
            "texts has 3 items; at most 2 are allowed (--max_batch_items)");
  status = running.stub().EmbedImages(&second, images, &image_response);
  EXPECT_EQ(status.error_message(),
            "images has 3 items; at most 2 are allowed (--max_batch_items)");
}

TEST(GetModelTest, TellsModelLimitsAndNamedSets) {
  ServerOptions options;
  options.max_inflight = 11;
  options.max_builds = 3;
  options.max_batch_items = 12;
  options.max_weight_sets = 19;
  options.max_import_bytes = 20;
  options.max_top_k = 21;
  options.max_answer_bytes = 1 << 22;
  options.max_request_bytes = 1 << 25;
  options.embedder.max_image_bytes = 13;
  options.embedder.decode.max_pixels = 14;
  options.build = {15, 16, 17, 18};
  RunningServer running(options);
  v1::GetModelResponse model;
  Context context;
  ASSERT_TRUE(running.stub().GetModel(&context, {}, &model).ok());
  const clip::ModelInfo& info = running.model().info();
  EXPECT_EQ(model.name(), info.name);
  EXPECT_EQ(model.family(), info.family);
  EXPECT_EQ(model.fingerprint(), info.fingerprint);
  EXPECT_EQ(model.precision(), info.precision);
  EXPECT_EQ(model.device(), info.device);
  EXPECT_EQ(model.embedding_dim(), info.embedding_dim);
  EXPECT_EQ(model.image_size(), info.preprocessing.crop.side);
  EXPECT_EQ(model.context_length(), info.context_length);
  EXPECT_EQ(model.vocab_size(), info.vocab_size);
  EXPECT_EQ(model.logit_scale(), info.head.scale);
  EXPECT_EQ(model.logit_bias(), 0);
  EXPECT_EQ(model.score_function(), v1::SCORE_FUNCTION_SOFTMAX);
  EXPECT_THAT(model.image_preprocessing(),
              HasSubstr("shorter side resized to 8 pixels, middle cut out, "
                        "bicubic"));
  EXPECT_EQ(model.text_preprocessing(),
            "openai-clip-bpe start=49406 end=49407 vocab=49408, at most 77 "
            "tokens, not padded");
  EXPECT_EQ(model.server_version(), ZEROSHOT_VERSION);
  EXPECT_EQ(model.is_demo(), info.is_demo);
  const v1::Limits& limits = model.limits();
  EXPECT_EQ(limits.max_inflight(), 11);
  EXPECT_EQ(limits.max_builds(), 3);
  EXPECT_EQ(limits.max_batch_items(), 12);
  EXPECT_EQ(limits.max_weight_sets(), 19);
  EXPECT_EQ(limits.max_import_bytes(), 20);
  EXPECT_EQ(limits.max_top_k(), 21);
  EXPECT_EQ(limits.max_answer_bytes(), 1 << 22);
  EXPECT_EQ(limits.max_request_bytes(), 1 << 25);
  EXPECT_EQ(limits.max_image_bytes(), 13);
  EXPECT_EQ(limits.max_image_pixels(), 14);
  EXPECT_EQ(limits.max_classes(), 15);
  EXPECT_EQ(limits.max_templates(), 16);
  EXPECT_EQ(limits.max_prompts(), 17);
  EXPECT_EQ(limits.max_text_bytes(), 18);
  EXPECT_THAT(model.template_sets(), Contains("openai-imagenet-80"));
  EXPECT_THAT(model.template_sets(), Contains("simple"));
  EXPECT_THAT(model.class_sets(), Contains("imagenet-1k"));
}

}  // namespace
}  // namespace zeroshot::server
