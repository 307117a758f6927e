// Scores and decisions over the wire: each field of a build, a call and an
// answer, against numbers that the test makes itself of the answers' cosines.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/server/running_server.h"
#include "tests/testing/make_png.h"

namespace zeroshot::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing_images::MakePng;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

v1::BuildClassifierRequest FullRequest() {
  v1::BuildClassifierRequest request =
      BuildRequest({"car", "bus", "cat"}, {"a {}"});
  request.mutable_classes(0)->set_group("vehicle");
  request.mutable_classes(1)->set_group("vehicle");
  request.mutable_classes(2)->set_group("animal");
  request.mutable_classes(1)->set_min_probability(0.999f);
  request.set_temperature(20);
  request.add_background("texture");
  request.add_background("something else");
  return request;
}

class DecisionsTest : public ::testing::Test {
 protected:
  v1::ClassifyResponse Classify(v1::ClassifyRequest request) {
    request.set_image(MakePng(1));
    v1::ClassifyResponse response;
    const grpc::Status status = running_.Classify(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  // The cosines of all classes of a set, in class order.
  std::vector<float> Cosines(const std::string& id) {
    v1::ClassifyRequest request;
    request.set_weight_set_id(id);
    request.set_top_k(100);
    const v1::ClassifyResponse response = Classify(request);
    std::vector<float> cosines(response.predictions_size());
    for (const v1::Prediction& p : response.predictions()) {
      cosines[p.class_index()] = p.cosine();
    }
    return cosines;
  }

  RunningServer running_;
};

TEST_F(DecisionsTest, ThreeFunctionsOfCosinesTemperatureAndBackground) {
  const std::string id = running_.Build(FullRequest());
  // The same prompts as classes tell the cosines of the background.
  const std::vector<float> cosines = Cosines(running_.Build(BuildRequest(
      {"car", "bus", "cat", "texture", "something else"}, {"a {}"})));
  ASSERT_EQ(cosines.size(), 5);
  for (const auto function :
       {v1::SCORE_FUNCTION_UNSPECIFIED, v1::SCORE_FUNCTION_SOFTMAX,
        v1::SCORE_FUNCTION_SIGMOID}) {
    std::vector<double> p;
    double sum = 0;
    for (const float cosine : cosines) {
      p.push_back(std::exp(100.0 * cosine / 20));
      sum += p.back();
    }
    const bool sigmoid = function == v1::SCORE_FUNCTION_SIGMOID;
    for (double& value : p) value = sigmoid ? value / (1 + value) : value / sum;

    v1::ClassifyRequest request;
    request.set_weight_set_id(id);
    request.set_return_probabilities(true);
    request.set_score_function(function);
    const v1::ClassifyResponse answer = Classify(request);
    ASSERT_EQ(answer.predictions_size(), 3);
    ASSERT_EQ(answer.probabilities_size(), 3);
    for (const v1::Prediction& prediction : answer.predictions()) {
      const int c = prediction.class_index();
      EXPECT_NEAR(prediction.probability(), p[c], 1e-6);
      EXPECT_NEAR(prediction.cosine(), cosines[c], 1e-6);
      EXPECT_NEAR(prediction.logit(), 100 * cosines[c], 1e-4);
      EXPECT_EQ(prediction.probability(), answer.probabilities(c));
      EXPECT_EQ(prediction.accepted(), c != 1);
    }
    EXPECT_NEAR(answer.other_probability(),
                sigmoid ? std::max(p[3], p[4]) : p[3] + p[4], 1e-6);
    const double vehicle = sigmoid ? std::max(p[0], p[1]) : p[0] + p[1];
    ASSERT_EQ(answer.groups_size(), 2);
    const bool vehicle_first = vehicle >= p[2];
    const v1::GroupScore& of_vehicle = answer.groups(vehicle_first ? 0 : 1);
    EXPECT_EQ(of_vehicle.group(), "vehicle");
    EXPECT_NEAR(of_vehicle.probability(), vehicle, 1e-6);
    EXPECT_EQ(answer.groups(vehicle_first ? 1 : 0).group(), "animal");
    EXPECT_NEAR(answer.groups(vehicle_first ? 1 : 0).probability(), p[2], 1e-6);
  }
}

TEST_F(DecisionsTest, ACallsThresholdIsForClassesWithoutOne) {
  v1::BuildClassifierRequest build = BuildRequest({"car", "bus", "cat"});
  build.mutable_classes(0)->set_min_probability(0);
  v1::ClassifyRequest request;
  request.set_weight_set_id(running_.Build(build));
  request.set_min_probability(1);
  // Of a cosine near 0 the sigmoid is not 1.
  request.set_score_function(v1::SCORE_FUNCTION_SIGMOID);
  v1::ClassifyResponse answer = Classify(request);
  EXPECT_EQ(answer.predictions_size(), 3);
  for (const v1::Prediction& p : answer.predictions()) {
    EXPECT_EQ(p.accepted(), p.class_index() == 0 || p.probability() == 1);
  }
  request.set_min_probability(0);
  answer = Classify(request);
  for (const v1::Prediction& p : answer.predictions()) {
    EXPECT_TRUE(p.accepted());
  }
}

TEST_F(DecisionsTest, ASetWithoutAnyAnswersAsEver) {
  v1::ClassifyRequest request;
  request.set_weight_set_id(running_.Build(BuildRequest({"car", "bus"})));
  const v1::ClassifyResponse answer = Classify(request);
  EXPECT_EQ(answer.groups_size(), 0);
  EXPECT_EQ(answer.other_probability(), 0);
  for (const v1::Prediction& p : answer.predictions()) {
    EXPECT_TRUE(p.accepted());
    EXPECT_NEAR(p.logit(), 100 * p.cosine(), 1e-4);
  }
}

TEST_F(DecisionsTest, EachOfSeveralSetsAnswersWithItsOwn) {
  v1::ClassifyRequest request;
  request.set_weight_set_id(running_.Build(BuildRequest({"x", "y"})));
  request.add_more_weight_set_ids(running_.Build(FullRequest()));
  const v1::ClassifyResponse answer = Classify(request);
  EXPECT_EQ(answer.groups_size(), 0);
  EXPECT_EQ(answer.other_probability(), 0);
  ASSERT_EQ(answer.more_size(), 1);
  EXPECT_EQ(answer.more(0).groups_size(), 2);
  EXPECT_GT(answer.more(0).other_probability(), 0);
}

TEST_F(DecisionsTest, EveryImageOfABatchIsScoredAsAlone) {
  v1::ClassifyBatchRequest batch;
  batch.add_images(MakePng(1));
  batch.add_images(MakePng(2));
  batch.set_weight_set_id(running_.Build(FullRequest()));
  batch.add_more_weight_set_ids(running_.Build(BuildRequest({"x", "y"})));
  batch.set_score_function(v1::SCORE_FUNCTION_SIGMOID);
  batch.set_min_probability(0.5f);
  Context context;
  v1::ClassifyBatchResponse answers;
  ASSERT_TRUE(running_.stub().ClassifyBatch(&context, batch, &answers).ok());
  ASSERT_EQ(answers.items_size(), 2);
  for (int i = 0; i < 2; ++i) {
    v1::ClassifyRequest request;
    request.set_image(batch.images(i));
    request.set_weight_set_id(batch.weight_set_id());
    request.add_more_weight_set_ids(batch.more_weight_set_ids(0));
    request.set_score_function(batch.score_function());
    request.set_min_probability(batch.min_probability());
    v1::ClassifyResponse alone;
    ASSERT_TRUE(running_.Classify(request, &alone).ok());
    v1::ClassifyResponse& item = *answers.mutable_items(i)->mutable_answer();
    alone.clear_timing();
    item.clear_timing();
    EXPECT_EQ(item.DebugString(), alone.DebugString());
  }
  batch.set_min_probability(kNan);
  Context again;
  EXPECT_THAT(
      running_.stub().ClassifyBatch(&again, batch, &answers).error_message(),
      HasSubstr("min_probability is nan"));
}

TEST_F(DecisionsTest, ANewThresholdIsANewIdThatCostsNoEncoding) {
  v1::BuildClassifierResponse first, second, again;
  v1::BuildClassifierRequest request = FullRequest();
  const auto build = [&](v1::BuildClassifierResponse* response) {
    Context context;
    EXPECT_TRUE(
        running_.stub().BuildClassifier(&context, request, response).ok());
  };
  build(&first);
  request.mutable_classes(0)->set_min_probability(0.5f);
  build(&second);
  request = FullRequest();
  build(&again);
  EXPECT_EQ(first.num_classes(), 3);
  EXPECT_EQ(first.num_background(), 2);
  EXPECT_EQ(first.num_prompts(), 5);
  EXPECT_GT(first.num_tokens_encoded(), 0);
  EXPECT_NE(second.weight_set_id(), first.weight_set_id());
  EXPECT_FALSE(second.cached());
  EXPECT_EQ(second.num_tokens_encoded(), 0);
  EXPECT_EQ(again.weight_set_id(), first.weight_set_id());
  EXPECT_TRUE(again.cached());
}

TEST_F(DecisionsTest, GetWeightSetShowsAllOfIt) {
  Context context;
  v1::GetWeightSetRequest request;
  request.set_weight_set_id(running_.Build(FullRequest()));
  v1::GetWeightSetResponse set;
  ASSERT_TRUE(running_.stub().GetWeightSet(&context, request, &set).ok());
  EXPECT_THAT(set.class_names(), ElementsAre("car", "bus", "cat"));
  EXPECT_THAT(set.background(), ElementsAre("texture", "something else"));
  EXPECT_EQ(set.weight_set().num_classes(), 3);
  EXPECT_EQ(set.weight_set().num_background(), 2);
  EXPECT_EQ(set.weight_set().temperature(), 20);
  EXPECT_EQ(set.weight_set().size_bytes(), 5 * 64 * 4);
  ASSERT_EQ(set.decisions_size(), 3);
  EXPECT_FALSE(set.decisions(0).has_min_probability());
  EXPECT_EQ(set.decisions(0).group(), "vehicle");
  EXPECT_EQ(set.decisions(1).class_index(), 1);
  EXPECT_EQ(set.decisions(1).min_probability(), 0.999f);
}

TEST_F(DecisionsTest, WhatIsNotAllowedNamesItsField) {
  const std::string id = running_.Build(BuildRequest({"a", "b"}));
  const auto refused = [&](const v1::ClassifyRequest& request) {
    v1::ClassifyResponse response;
    const grpc::Status status = running_.Classify(request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    return status.error_message();
  };
  v1::ClassifyRequest request;
  request.set_image(MakePng(1));
  request.set_weight_set_id(id);
  for (const float bad : {-0.1f, 1.1f, kNan}) {
    request.set_min_probability(bad);
    EXPECT_THAT(refused(request), HasSubstr("min_probability is "));
  }
  request.clear_min_probability();
  request.set_score_function(static_cast<v1::ScoreFunction>(7));
  EXPECT_THAT(refused(request),
              HasSubstr("score_function is 7; 0 to 2 is allowed"));

  const auto refused_build = [&](const v1::BuildClassifierRequest& build) {
    Context context;
    v1::BuildClassifierResponse response;
    const grpc::Status status =
        running_.stub().BuildClassifier(&context, build, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    return status.error_message();
  };
  v1::BuildClassifierRequest build = FullRequest();
  build.set_temperature(0);
  EXPECT_THAT(refused_build(build), HasSubstr("temperature is 0"));
  build = FullRequest();
  build.mutable_classes(0)->set_min_probability(2);
  EXPECT_THAT(refused_build(build),
              HasSubstr("classes[0].min_probability is 2; 0 to 1"));
  build = FullRequest();
  build.add_background("");
  EXPECT_THAT(refused_build(build), HasSubstr("background[2] is empty"));
}

TEST_F(DecisionsTest, AnExportedSetDecidesTheSameWhereItIsImported) {
  v1::ClassifyRequest request;
  request.set_weight_set_id(running_.Build(FullRequest()));
  request.set_return_probabilities(true);
  const v1::ClassifyResponse built = Classify(request);

  std::string file;
  {
    Context context;
    v1::ExportWeightSetRequest asked;
    asked.set_weight_set_id(request.weight_set_id());
    const auto reader = running_.stub().ExportWeightSet(&context, asked);
    v1::ExportWeightSetResponse piece;
    while (reader->Read(&piece)) file += piece.data();
    ASSERT_TRUE(reader->Finish().ok());
  }
  RunningServer other;
  v1::ImportWeightSetResponse imported;
  {
    Context context;
    const auto writer = other.stub().ImportWeightSet(&context, &imported);
    v1::ImportWeightSetRequest piece;
    piece.mutable_header()->set_total_bytes(static_cast<int64_t>(file.size()));
    writer->Write(piece);
    piece.set_data(file);
    writer->Write(piece);
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_EQ(imported.weight_set().num_background(), 2);
  request.set_weight_set_id(imported.weight_set().weight_set_id());
  request.set_image(MakePng(1));
  v1::ClassifyResponse answer;
  ASSERT_TRUE(other.Classify(request, &answer).ok());
  EXPECT_THAT(answer.probabilities(),
              ::testing::ElementsAreArray(built.probabilities()));
  EXPECT_EQ(answer.other_probability(), built.other_probability());
  ASSERT_EQ(answer.groups_size(), 2);
  EXPECT_EQ(answer.groups(0).probability(), built.groups(0).probability());
  EXPECT_EQ(answer.predictions(0).accepted(), built.predictions(0).accepted());
}

}  // namespace
}  // namespace zeroshot::server
