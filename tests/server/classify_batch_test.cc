// ClassifyBatch over the wire: each image as Classify would answer it, each
// counted, each failing alone.
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <future>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/error_info.h"
#include "client/grpc_status.h"
#include "tests/server/running_server.h"
#include "tests/testing/make_png.h"

namespace zeroshot::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing_images::MakePng;

v1::ClassifyBatchRequest Request(const std::vector<std::string>& images,
                                 const std::string& id) {
  v1::ClassifyBatchRequest request;
  request.mutable_images()->Assign(images.begin(), images.end());
  request.set_weight_set_id(id);
  return request;
}

std::vector<std::string> Pngs(int count) {
  std::vector<std::string> images;
  for (int i = 0; i < count; ++i) images.push_back(MakePng(i));
  return images;
}

std::string ReasonOf(const v1::ItemStatus& status) {
  return client::ReasonOf(client::FromItemStatus(status));
}

class ClassifyBatchTest : public ::testing::Test {
 protected:
  void Start(const ServerOptions& options = {}) {
    running_ = std::make_unique<RunningServer>(options);
    id_ = running_->Build(BuildRequest({"cat", "dog", "owl"}));
  }

  grpc::Status Ask(const v1::ClassifyBatchRequest& request,
                   v1::ClassifyBatchResponse* response,
                   absl::Duration timeout = absl::Seconds(60)) {
    Context context(timeout);
    return running_->stub().ClassifyBatch(&context, request, response);
  }

  // What a call that should fail fails with.
  absl::Status Failure(const v1::ClassifyBatchRequest& request,
                       absl::Duration timeout = absl::Seconds(60)) {
    v1::ClassifyBatchResponse response;
    const grpc::Status status = Ask(request, &response, timeout);
    EXPECT_FALSE(status.ok());
    return client::FromGrpcStatus(status);
  }

  // Waits until so many images are inside.
  void WaitForInside(int images) {
    const std::string line = absl::StrCat("zeroshot_inflight_calls ", images);
    while (!absl::StrContains(running_->server().status_source().metrics(),
                              line + "\n")) {
      absl::SleepFor(absl::Milliseconds(1));
    }
  }

  std::unique_ptr<RunningServer> running_;
  std::string id_;
};

TEST_F(ClassifyBatchTest, AnswersEachImageAsClassifyDoes) {
  Start();
  const std::string other = running_->Build(BuildRequest({"sun", "sea"}));
  std::vector<std::string> images = Pngs(6);
  images[1] = "";
  images[3] = "not an image";
  images[4].resize(images[4].size() / 2);
  v1::ClassifyBatchRequest request = Request(images, id_);
  request.set_top_k(2);
  request.set_return_probabilities(true);
  request.add_more_weight_set_ids(other);
  v1::ClassifyBatchResponse response;
  const grpc::Status status = Ask(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.weight_set_id(), id_);
  EXPECT_FALSE(response.has_build());
  ASSERT_EQ(response.items_size(), 6);
  for (int i = 0; i < 6; ++i) {
    v1::ClassifyRequest alone;
    alone.set_image(images[i]);
    alone.set_weight_set_id(id_);
    alone.set_top_k(2);
    alone.set_return_probabilities(true);
    alone.add_more_weight_set_ids(other);
    v1::ClassifyResponse answer;
    const grpc::Status answered = running_->Classify(alone, &answer);
    v1::ClassifyBatchItem* const item = response.mutable_items(i);
    EXPECT_EQ(item->status().code(), answered.error_code()) << i;
    EXPECT_EQ(item->status().message(), answered.error_message());
    EXPECT_EQ(ReasonOf(item->status()),
              client::ReasonOf(client::FromGrpcStatus(answered)));
    EXPECT_EQ(item->has_answer(), answered.ok());
    EXPECT_EQ(answered.ok(), i != 1 && i != 3 && i != 4);
    if (!answered.ok()) continue;
    EXPECT_GT(item->answer().timing().decode().nanos(), 0);
    EXPECT_GT(item->answer().timing().total().nanos(), 0);
    // All but the time is equal.
    item->mutable_answer()->clear_timing();
    answer.clear_timing();
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(
        item->answer(), answer))
        << item->answer().DebugString() << answer.DebugString();
    EXPECT_EQ(answer.weight_set_id(), id_);
    EXPECT_EQ(answer.predictions_size(), 2);
    EXPECT_EQ(answer.more_size(), 1);
  }
}

TEST_F(ClassifyBatchTest, NoImageIsAnAnswerWithoutItems) {
  Start();
  v1::ClassifyBatchResponse response;
  EXPECT_TRUE(Ask(Request({}, id_), &response).ok());
  EXPECT_EQ(response.items_size(), 0);
  EXPECT_EQ(response.weight_set_id(), id_);
}

TEST_F(ClassifyBatchTest, WhatConcernsTheCallFailsAsAWhole) {
  Start();
  const std::string unknown(64, '0');
  const int batches = running_->image_batches();
  EXPECT_EQ(client::ReasonOf(Failure(Request(Pngs(2), unknown))),
            "WEIGHT_SET_NOT_FOUND");
  v1::ClassifyBatchRequest request = Request(Pngs(2), "");
  EXPECT_THAT(std::string(Failure(request).message()),
              HasSubstr("weight_set_id is empty"));
  request = Request(Pngs(2), id_);
  request.set_top_k(1'000'000);
  EXPECT_THAT(std::string(Failure(request).message()), HasSubstr("top_k"));
  request = Request(Pngs(2), id_);
  request.add_more_weight_set_ids(id_);
  EXPECT_THAT(std::string(Failure(request).message()), HasSubstr("twice"));
  EXPECT_EQ(running_->image_batches(), batches);
}

TEST_F(ClassifyBatchTest, GoesThroughTheTowerInFullBatches) {
  ServerOptions options;
  options.embedder.max_batch = 32;
  Start(options);
  const int batches = running_->image_batches();
  v1::ClassifyBatchResponse response;
  ASSERT_TRUE(Ask(Request(Pngs(64), id_), &response).ok());
  EXPECT_EQ(running_->image_batches(), batches + 2);
  ASSERT_EQ(response.items_size(), 64);
  for (const v1::ClassifyBatchItem& item : response.items()) {
    EXPECT_EQ(item.status().code(), 0);
    EXPECT_EQ(item.answer().predictions_size(), 3);
  }
}

TEST_F(ClassifyBatchTest, MoreImagesThanAllowedAreRefusedUnread) {
  ServerOptions options;
  options.max_batch_items = 4;
  Start(options);
  for (const int count : {5, 100'000}) {
    const absl::Status status =
        Failure(Request(std::vector<std::string>(count), id_));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(absl::StrCat("images has ", count, " items")),
                      HasSubstr("at most 4"), HasSubstr("max_batch_items")));
    EXPECT_EQ(client::ErrorInfoOf(status)->metadata["field"], "images");
  }
  v1::ClassifyBatchResponse response;
  EXPECT_TRUE(Ask(Request(std::vector<std::string>(4), id_), &response).ok());
  for (const v1::ClassifyBatchItem& item : response.items()) {
    EXPECT_EQ(ReasonOf(item.status()), "IMAGE_NOT_SUPPORTED");
  }
}

TEST_F(ClassifyBatchTest, ALargeImageFailsAlone) {
  ServerOptions options;
  options.embedder.max_image_bytes = 8 << 20;
  Start(options);
  std::vector<std::string> images = Pngs(3);
  images[0].resize(8 << 20);  // a good image, and zeros behind it
  images[1].resize((8 << 20) + 1);
  v1::ClassifyBatchResponse response;
  ASSERT_TRUE(Ask(Request(images, id_), &response).ok());
  EXPECT_EQ(response.items(0).status().code(), 0)
      << response.items(0).status().message();
  EXPECT_EQ(ReasonOf(response.items(1).status()), "IMAGE_TOO_LARGE");
  EXPECT_EQ(response.items(2).status().code(), 0);
}

TEST_F(ClassifyBatchTest, EachImageTakesAPlace) {
  ServerOptions options;
  options.max_inflight = 8;
  Start(options);
  running_->model().CloseGate();
  v1::ClassifyBatchResponse first, second;
  auto inside = std::async(std::launch::async,
                           [&] { return Ask(Request(Pngs(6), id_), &first); });
  ASSERT_TRUE(running_->model().WaitForCallsAtGate(1));
  WaitForInside(6);
  const absl::Status full = Failure(Request(Pngs(3), id_));
  EXPECT_EQ(client::ReasonOf(full), "OVERLOADED");
  EXPECT_EQ(client::ErrorInfoOf(full)->metadata["cause"], "inflight");
  // So are they counted for EmbedImages.
  v1::EmbedImagesRequest embed;
  for (const std::string& png : Pngs(3)) embed.add_images(png);
  v1::EmbedImagesResponse rows;
  Context context;
  EXPECT_EQ(running_->stub().EmbedImages(&context, embed, &rows).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  auto fits = std::async(std::launch::async,
                         [&] { return Ask(Request(Pngs(2), id_), &second); });
  WaitForInside(8);
  running_->model().OpenGate();
  EXPECT_TRUE(inside.get().ok());
  EXPECT_TRUE(fits.get().ok());
  WaitForInside(0);
}

// More images than places is the whole server, not never.
TEST_F(ClassifyBatchTest, ABatchLargerThanTheServerIsLetInAlone) {
  ServerOptions options;
  options.max_inflight = 4;
  Start(options);
  v1::ClassifyBatchResponse response;
  EXPECT_TRUE(Ask(Request(Pngs(10), id_), &response).ok());
  EXPECT_EQ(response.items_size(), 10);
}

TEST_F(ClassifyBatchTest, TheDeadlineAndACancelledCallEndIt) {
  ServerOptions options;
  options.embedder.max_batch = 2;
  Start(options);
  running_->model().CloseGate();
  EXPECT_EQ(Failure(Request(Pngs(6), id_), absl::Milliseconds(200)).code(),
            absl::StatusCode::kDeadlineExceeded);
  Context context;
  v1::ClassifyBatchResponse response;
  auto call = std::async(std::launch::async, [&] {
    return running_->stub().ClassifyBatch(&context, Request(Pngs(6), id_),
                                          &response);
  });
  WaitForInside(12);  // the tower has two of those that were given up
  context.TryCancel();
  EXPECT_EQ(call.get().error_code(), grpc::StatusCode::CANCELLED);
  running_->model().OpenGate();
  WaitForInside(0);
}

TEST_F(ClassifyBatchTest, TheAnswersTogetherAreBounded) {
  ServerOptions options;
  options.max_answer_bytes = 64 << 10;
  Start(options);
  v1::BuildClassifierRequest many;
  for (int i = 0; i < 400; ++i) {
    many.add_classes()->set_name(absl::StrCat("class ", i));
  }
  v1::ClassifyBatchRequest request = Request(Pngs(64), running_->Build(many));
  v1::ClassifyBatchResponse response;
  EXPECT_TRUE(Ask(request, &response).ok());
  request.set_return_probabilities(true);
  const int batches = running_->image_batches();
  const absl::Status status = Failure(request);
  EXPECT_EQ(client::ReasonOf(status), "INVALID_REQUEST");
  EXPECT_THAT(std::string(status.message()), HasSubstr("--max_answer_bytes"));
  EXPECT_EQ(running_->image_batches(), batches);
}

TEST_F(ClassifyBatchTest, KnownImagesAreToldOneByOne) {
  ServerOptions options;
  options.embedder.image_cache_bytes = 1 << 20;
  Start(options);
  v1::ClassifyBatchResponse response;
  ASSERT_TRUE(Ask(Request({MakePng(1)}, id_), &response).ok());
  EXPECT_FALSE(response.items(0).answer().embedding_cached());
  ASSERT_TRUE(Ask(Request({MakePng(2), MakePng(1)}, id_), &response).ok());
  EXPECT_FALSE(response.items(0).answer().embedding_cached());
  EXPECT_TRUE(response.items(1).answer().embedding_cached());
  EXPECT_EQ(response.items(1).answer().timing().compute().nanos(), 0);
}

TEST_F(ClassifyBatchTest, IsCountedAndTimedAsOneCall) {
  Start();
  v1::ClassifyBatchResponse response;
  ASSERT_TRUE(Ask(Request(Pngs(3), id_), &response).ok());
  const std::string metrics = running_->server().status_source().metrics();
  EXPECT_THAT(metrics, HasSubstr(R"(zeroshot_calls_total{code="OK",)"
                                 R"(method="ClassifyBatch"} 1)"));
  EXPECT_THAT(metrics,
              HasSubstr(R"(zeroshot_stage_seconds_count{stage="decode"} 1)"));
}

// A tower that fails is no image's fault.
TEST_F(ClassifyBatchTest, ATowerThatFailsFailsTheCall) {
  Start();
  running_->model().RunOutOfMemory(true);
  EXPECT_EQ(client::ReasonOf(Failure(Request(Pngs(2), id_))), "OUT_OF_MEMORY");
}

}  // namespace
}  // namespace zeroshot::server
