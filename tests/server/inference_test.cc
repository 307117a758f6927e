// The Open Inference Protocol over gRPC, with a fake model: its answers are
// those of zeroshot.v1.ZeroShot, as tensors, and so are its limits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/error_info.h"
#include "client/grpc_status.h"
#include "inference/inference.grpc.pb.h"
#include "tests/server/raw_call.h"
#include "tests/server/running_server.h"
#include "tests/server/with_tokens.h"
#include "tests/testing/make_png.h"

namespace zeroshot::server {
namespace {

using inference::GRPCInferenceService;
using inference::ModelInferRequest;
using inference::ModelInferResponse;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing_images::MakePng;

// Elements of BYTES as raw bytes.
std::string Raw(const std::vector<std::string>& elements) {
  std::string raw;
  for (const std::string& element : elements) {
    const auto size = static_cast<uint32_t>(element.size());
    raw.append(reinterpret_cast<const char*>(&size), sizeof(size));
    raw += element;
  }
  return raw;
}

// The elements that raw bytes are.
std::vector<std::string> FromRaw(absl::string_view raw) {
  std::vector<std::string> elements;
  while (raw.size() >= 4) {
    uint32_t size = 0;
    std::memcpy(&size, raw.data(), sizeof(size));
    elements.emplace_back(raw.substr(4, size));
    raw.remove_prefix(std::min<size_t>(raw.size(), 4 + size));
  }
  EXPECT_EQ(raw, "");
  return elements;
}

template <typename Number>
std::vector<Number> Numbers(const std::string& raw) {
  std::vector<Number> numbers(raw.size() / sizeof(Number));
  std::memcpy(numbers.data(), raw.data(), raw.size());
  return numbers;
}

ModelInferRequest Request(const std::string& model,
                          const std::vector<std::string>& elements,
                          bool raw = true) {
  ModelInferRequest request;
  request.set_model_name(model);
  auto* const input = request.add_inputs();
  input->set_name(model == "text_encoder" ? "text" : "image");
  input->set_datatype("BYTES");
  input->add_shape(static_cast<int64_t>(elements.size()));
  if (raw) {
    request.add_raw_input_contents(Raw(elements));
  } else {
    for (const std::string& element : elements) {
      input->mutable_contents()->add_bytes_contents(element);
    }
  }
  return request;
}

class InferenceTest : public ::testing::Test {
 protected:
  void Start(const ServerOptions& options = {}, bool serve = true) {
    running_ = std::make_unique<RunningServer>(options, serve);
    stub_ = GRPCInferenceService::NewStub(running_->channel());
  }

  std::string Build(std::initializer_list<const char*> classes,
                    const std::string& display_name = "") {
    v1::BuildClassifierRequest request = BuildRequest(classes);
    request.set_display_name(display_name);
    return running_->Build(request);
  }

  ModelInferResponse Infer(const ModelInferRequest& request) {
    Context context;
    ModelInferResponse response;
    const grpc::Status status = stub_->ModelInfer(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  // What a call that should fail fails with.
  absl::Status Failure(const ModelInferRequest& request) {
    Context context;
    ModelInferResponse response;
    const grpc::Status status = stub_->ModelInfer(&context, request, &response);
    EXPECT_FALSE(status.ok());
    return client::FromGrpcStatus(status);
  }
  std::string Refusal(const ModelInferRequest& request) {
    const absl::Status status = Failure(request);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  }

  bool ModelReady(const std::string& name, const std::string& version = "") {
    Context context;
    inference::ModelReadyRequest request;
    request.set_name(name);
    request.set_version(version);
    inference::ModelReadyResponse response;
    const grpc::Status status = stub_->ModelReady(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.ready();
  }

  std::vector<std::string> Index() {
    Context context;
    inference::RepositoryIndexResponse response;
    const grpc::Status status = stub_->RepositoryIndex(&context, {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    std::vector<std::string> names;
    for (const auto& model : response.models()) {
      EXPECT_EQ(model.state(), "READY");
      names.push_back(model.name());
    }
    return names;
  }

  std::unique_ptr<RunningServer> running_;
  std::unique_ptr<GRPCInferenceService::Stub> stub_;
};

TEST_F(InferenceTest, ImageEncoderGivesTheVectorsOfEmbedImages) {
  Start();
  v1::EmbedImagesRequest embed;
  const std::vector<std::string> images = {MakePng(1), MakePng(2), MakePng(3)};
  for (const std::string& image : images) embed.add_images(image);
  Context context;
  v1::EmbedImagesResponse expected;
  ASSERT_TRUE(running_->stub().EmbedImages(&context, embed, &expected).ok());
  const std::vector<float> vectors(expected.embeddings().begin(),
                                   expected.embeddings().end());

  ModelInferRequest request = Request("image_encoder", images);
  request.set_id("seven");
  const ModelInferResponse raw = Infer(request);
  EXPECT_EQ(raw.model_name(), "image_encoder");
  EXPECT_EQ(raw.model_version(), "1");
  EXPECT_EQ(raw.id(), "seven");
  ASSERT_EQ(raw.outputs_size(), 1);
  EXPECT_EQ(raw.outputs(0).name(), "embedding");
  EXPECT_EQ(raw.outputs(0).datatype(), "FP32");
  EXPECT_THAT(raw.outputs(0).shape(), ElementsAre(3, 64));
  EXPECT_FALSE(raw.outputs(0).has_contents());
  EXPECT_EQ(Numbers<float>(raw.raw_output_contents(0)), vectors);

  const ModelInferResponse plain =
      Infer(Request("image_encoder", images, /*raw=*/false));
  EXPECT_THAT(plain.raw_output_contents(), IsEmpty());
  EXPECT_THAT(plain.outputs(0).contents().fp32_contents(),
              ::testing::ElementsAreArray(vectors));
}

TEST_F(InferenceTest, TextEncoderGivesTheVectorsOfEmbedTexts) {
  Start();
  const std::vector<std::string> texts = {"a cat", "two dogs"};
  v1::EmbedTextsRequest embed;
  for (const std::string& text : texts) embed.add_texts(text);
  Context context;
  v1::EmbedTextsResponse expected;
  ASSERT_TRUE(running_->stub().EmbedTexts(&context, embed, &expected).ok());
  const ModelInferResponse response = Infer(Request("text_encoder", texts));
  EXPECT_THAT(response.outputs(0).shape(), ElementsAre(2, 64));
  EXPECT_THAT(Numbers<float>(response.raw_output_contents(0)),
              ::testing::ElementsAreArray(expected.embeddings()));
}

TEST_F(InferenceTest, AWeightSetGivesTheClassesOfClassifyBatch) {
  Start();
  const std::string id = Build({"cat", "dog", "owl"}, "pets");
  v1::ClassifyBatchRequest classify;
  classify.set_weight_set_id(id);
  classify.add_images(MakePng(1));
  classify.add_images(MakePng(2));
  Context context;
  v1::ClassifyBatchResponse expected;
  ASSERT_TRUE(
      running_->stub().ClassifyBatch(&context, classify, &expected).ok());
  std::vector<std::string> names;
  std::vector<float> probabilities, other;
  std::vector<int32_t> indices;
  for (const auto& item : expected.items()) {
    for (const auto& prediction : item.answer().predictions()) {
      names.push_back(prediction.class_name());
      probabilities.push_back(prediction.probability());
      indices.push_back(prediction.class_index());
    }
    other.push_back(item.answer().other_probability());
  }
  for (const std::string& model : {id, std::string("pets")}) {
    const ModelInferResponse response =
        Infer(Request(model, {MakePng(1), MakePng(2)}));
    EXPECT_EQ(response.model_name(), model);
    ASSERT_EQ(response.outputs_size(), 5);
    for (int i = 0; i < 4; ++i) {
      EXPECT_THAT(response.outputs(i).shape(), ElementsAre(2, 3)) << i;
    }
    EXPECT_EQ(response.outputs(0).name(), "class");
    EXPECT_EQ(response.outputs(0).datatype(), "BYTES");
    EXPECT_EQ(FromRaw(response.raw_output_contents(0)), names);
    EXPECT_EQ(response.outputs(1).name(), "probability");
    EXPECT_EQ(Numbers<float>(response.raw_output_contents(1)), probabilities);
    EXPECT_EQ(response.outputs(2).name(), "class_index");
    EXPECT_EQ(response.outputs(2).datatype(), "INT32");
    EXPECT_EQ(Numbers<int32_t>(response.raw_output_contents(2)), indices);
    EXPECT_EQ(response.outputs(3).name(), "accepted");
    EXPECT_EQ(response.outputs(3).datatype(), "BOOL");
    EXPECT_EQ(response.raw_output_contents(3), std::string(6, '\1'));
    EXPECT_EQ(response.outputs(4).name(), "other_probability");
    EXPECT_THAT(response.outputs(4).shape(), ElementsAre(2, 1));
    EXPECT_EQ(Numbers<float>(response.raw_output_contents(4)), other);
  }
}

TEST_F(InferenceTest, OneColumnIsAsGoodAsNone) {
  Start();
  ModelInferRequest request =
      Request("image_encoder", {MakePng(1), MakePng(2)});
  const ModelInferResponse plain = Infer(request);
  request.mutable_inputs(0)->add_shape(1);
  const ModelInferResponse column = Infer(request);
  EXPECT_THAT(column.outputs(0).shape(), ElementsAre(2, 64));
  EXPECT_EQ(column.raw_output_contents(0), plain.raw_output_contents(0));
}

TEST_F(InferenceTest, OutputsAreThoseAskedForInTheirOrder) {
  Start();
  const std::string id = Build({"cat", "dog"});
  ModelInferRequest request = Request(id, {MakePng(1)}, /*raw=*/false);
  request.add_outputs()->set_name("probability");
  request.add_outputs()->set_name("class");
  const ModelInferResponse response = Infer(request);
  ASSERT_EQ(response.outputs_size(), 2);
  EXPECT_EQ(response.outputs(0).name(), "probability");
  EXPECT_EQ(response.outputs(0).contents().fp32_contents_size(), 2);
  EXPECT_EQ(response.outputs(1).name(), "class");
  EXPECT_EQ(response.outputs(1).contents().bytes_contents_size(), 2);
  request.add_outputs()->set_name("probability");
  EXPECT_THAT(Refusal(request), HasSubstr("'probability' is asked for twice"));
  request.mutable_outputs(2)->set_name("logits");
  EXPECT_THAT(Refusal(request),
              AllOf(HasSubstr("'logits'"), HasSubstr("'class_index'")));
}

TEST_F(InferenceTest, ParametersAreThoseOfClassify) {
  Start();
  const std::string id = Build({"cat", "dog", "owl"});
  ModelInferRequest request = Request(id, {MakePng(1)}, /*raw=*/false);
  auto& parameters = *request.mutable_parameters();
  for (const int way : {0, 1, 2, 3}) {
    auto& top_k = parameters["top_k"];
    if (way == 0) top_k.set_int64_param(2);
    if (way == 1) top_k.set_uint64_param(2);
    if (way == 2) top_k.set_double_param(2);
    if (way == 3) top_k.set_string_param("2");
    EXPECT_THAT(Infer(request).outputs(0).shape(), ElementsAre(1, 2)) << way;
  }
  // What Triton's client for C++ sends always.
  parameters["triton_enable_empty_final_response"].set_bool_param(true);
  parameters["score_function"].set_string_param("sigmoid");
  parameters["min_probability"].set_double_param(1);
  const ModelInferResponse response = Infer(request);
  EXPECT_THAT(response.outputs(3).contents().bool_contents(),
              ElementsAre(false, false));
  v1::ClassifyRequest classify;
  classify.set_image(MakePng(1));
  classify.set_weight_set_id(id);
  classify.set_top_k(2);
  classify.set_score_function(v1::SCORE_FUNCTION_SIGMOID);
  v1::ClassifyResponse expected;
  ASSERT_TRUE(running_->Classify(classify, &expected).ok());
  EXPECT_THAT(response.outputs(1).contents().fp32_contents(),
              ElementsAre(expected.predictions(0).probability(),
                          expected.predictions(1).probability()));
}

TEST_F(InferenceTest, WrongParametersAreNamed) {
  Start();
  const std::string id = Build({"cat", "dog"});
  const auto refusal = [&](const std::string& model, const std::string& name,
                           const inference::InferParameter& value) {
    ModelInferRequest request = Request(model, {MakePng(1)});
    (*request.mutable_parameters())[name] = value;
    return Refusal(request);
  };
  inference::InferParameter value;
  value.set_string_param("many");
  EXPECT_THAT(refusal(id, "top_k", value), HasSubstr("top_k is 'many'"));
  value.set_double_param(1.5);
  EXPECT_THAT(refusal(id, "top_k", value), HasSubstr("top_k is 1.5"));
  value.set_int64_param(-1);
  EXPECT_THAT(refusal(id, "top_k", value), HasSubstr("top_k is -1"));
  value.set_int64_param(std::numeric_limits<int64_t>::max());
  EXPECT_THAT(refusal(id, "top_k", value), HasSubstr("top_k"));
  value.set_int64_param(1001);
  EXPECT_THAT(refusal(id, "top_k", value), HasSubstr("--max_top_k"));
  value.set_bool_param(true);
  EXPECT_THAT(refusal(id, "top_k", value), HasSubstr("must be a number"));
  value.set_double_param(std::numeric_limits<double>::quiet_NaN());
  EXPECT_THAT(refusal(id, "min_probability", value),
              HasSubstr("must be a number"));
  value.set_double_param(1.5);
  EXPECT_THAT(refusal(id, "min_probability", value),
              HasSubstr("min_probability"));
  value.set_string_param("best");
  EXPECT_THAT(refusal(id, "score_function", value), HasSubstr("'best'"));
  EXPECT_THAT(refusal(id, "sequence_id", value),
              AllOf(HasSubstr("'sequence_id'"), HasSubstr("top_k")));
  EXPECT_THAT(refusal("image_encoder", "top_k", value),
              AllOf(HasSubstr("'top_k'"), HasSubstr("'image_encoder'")));

  ModelInferRequest request = Request(id, {MakePng(1)});
  auto& size =
      (*request.mutable_inputs(0)->mutable_parameters())["binary_data_size"];
  size.set_int64_param(
      static_cast<int64_t>(request.raw_input_contents(0).size()));
  Infer(request);
  size.set_int64_param(1);
  EXPECT_THAT(Refusal(request), HasSubstr("binary_data_size of the input "
                                          "'image' is 1; raw"));
  request = Request(id, {MakePng(1)});
  (*request.mutable_inputs(0)->mutable_parameters())["shared_memory_region"] =
      value;
  EXPECT_THAT(Refusal(request), AllOf(HasSubstr("'shared_memory_region'"),
                                      HasSubstr("the input 'image'")));
  request = Request(id, {MakePng(1)});
  auto* const output = request.add_outputs();
  output->set_name("class");
  (*output->mutable_parameters())["classification"] = value;
  EXPECT_THAT(Refusal(request), AllOf(HasSubstr("'classification'"),
                                      HasSubstr("the output 'class'")));
}

TEST_F(InferenceTest, WrongInputsAreNamed) {
  Start();
  ModelInferRequest request = Request("image_encoder", {MakePng(1)});
  request.mutable_inputs(0)->set_name("pixels");
  EXPECT_THAT(Refusal(request),
              AllOf(HasSubstr("'pixels'"), HasSubstr("'image'")));
  request = Request("image_encoder", {MakePng(1)});
  request.mutable_inputs(0)->set_datatype("FP32");
  EXPECT_THAT(Refusal(request),
              AllOf(HasSubstr("image has the datatype 'FP32'"),
                    HasSubstr("must be BYTES")));
  request.clear_inputs();
  EXPECT_THAT(Refusal(request), HasSubstr("there are 0 inputs"));
  request = Request("image_encoder", {MakePng(1)});
  *request.add_inputs() = request.inputs(0);
  EXPECT_THAT(Refusal(request), HasSubstr("there are 2 inputs"));
  request = Request("image_encoder", {MakePng(1)}, /*raw=*/false);
  request.add_raw_input_contents(Raw({MakePng(1)}));
  EXPECT_THAT(Refusal(request), HasSubstr("raw_input_contents has 1 items"));
  request = Request("image_encoder", {MakePng(1)});
  request.add_raw_input_contents("");
  EXPECT_THAT(Refusal(request), HasSubstr("raw_input_contents has 2 items"));
  request = Request("image_encoder", {MakePng(1)}, /*raw=*/false);
  request.mutable_inputs(0)->mutable_contents()->add_fp32_contents(1);
  EXPECT_THAT(Refusal(request), HasSubstr("image has fp32_contents"));
}

TEST_F(InferenceTest, ShapesThatAreNoneAreNamed) {
  ServerOptions options;
  options.max_batch_items = 4;
  Start(options);
  constexpr int64_t kLarge = std::numeric_limits<int64_t>::max();
  const std::vector<std::vector<int64_t>> shapes = {
      {},        {0},          {-1},
      {5},       {kLarge},     {2, 2},
      {1, 1, 1}, {1, 0},       {kLarge, kLarge},
      {1, -1},   {-kLarge, 1}, {int64_t{1} << 32, int64_t{1} << 32}};
  for (const std::vector<int64_t>& shape : shapes) {
    for (const bool raw : {false, true}) {
      ModelInferRequest request = Request("image_encoder", {MakePng(1)}, raw);
      request.mutable_inputs(0)->mutable_shape()->Assign(shape.begin(),
                                                         shape.end());
      EXPECT_THAT(Refusal(request),
                  AllOf(HasSubstr("image has the shape ["),
                        HasSubstr("n from 1 to 4 (--max_batch_items)")));
    }
  }
  ModelInferRequest request =
      Request("image_encoder", {MakePng(1)}, /*raw=*/false);
  request.mutable_inputs(0)->set_shape(0, 2);
  EXPECT_THAT(Refusal(request), HasSubstr("its shape says 2"));
}

TEST_F(InferenceTest, RawBytesThatLieAreNamed) {
  Start();
  const std::string image = MakePng(1);
  const auto refusal = [&](int64_t count, const std::string& raw) {
    ModelInferRequest request = Request("image_encoder", {image});
    request.mutable_inputs(0)->set_shape(0, count);
    request.set_raw_input_contents(0, raw);
    return Refusal(request);
  };
  EXPECT_THAT(refusal(1, ""), HasSubstr("image[0] is not there"));
  EXPECT_THAT(refusal(1, "\xff\xff"), HasSubstr("image[0] is not there"));
  EXPECT_THAT(refusal(1, "\xff\xff\xff\xff"),
              HasSubstr("image[0] has 4294967295 bytes, says its length; 0"));
  EXPECT_THAT(refusal(2, Raw({image})), HasSubstr("image[1] is not there"));
  EXPECT_THAT(refusal(2, Raw({image}) + "\x02" + std::string(3, '\0') + "x"),
              HasSubstr("image[1] has 2 bytes, says its length; 1 are left"));
  EXPECT_THAT(refusal(1, Raw({image}) + "x"), HasSubstr("have 1 more than"));
  EXPECT_THAT(refusal(1, Raw({image, image})), HasSubstr("more than the 1 "));
}

TEST_F(InferenceTest, WhatFailsIsNamed) {
  Start();
  const std::string id = Build({"cat", "dog"});
  for (const std::string& model : {std::string("image_encoder"), id}) {
    const absl::Status status =
        Failure(Request(model, {MakePng(1), MakePng(2), "no image"}));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("image[2]: "));
    EXPECT_EQ(client::ReasonOf(status), "IMAGE_NOT_SUPPORTED");
  }
  EXPECT_THAT(Refusal(Request("text_encoder", {"a cat", "\xff\xfe"})),
              HasSubstr("text[1] is not UTF-8"));
  EXPECT_THAT(
      Refusal(Request("text_encoder", {std::string(100'000, 'x'), "a cat"})),
      HasSubstr("text[0]: "));
}

TEST_F(InferenceTest, UnknownModelsAndVersionsAreNotFound) {
  Start();
  const std::string id = Build({"cat"}, "pets");
  for (const char* const version : {"", "1"}) {
    ModelInferRequest request = Request("pets", {MakePng(1)});
    request.set_model_version(version);
    Infer(request);
  }
  ModelInferRequest request = Request("pets", {MakePng(1)});
  request.set_model_version("2");
  absl::Status status = Failure(request);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("'pets' has no version '2'"));
  status = Failure(Request("birds", {MakePng(1)}));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("'birds'"), HasSubstr("RepositoryIndex")));
  EXPECT_EQ(client::ReasonOf(status), "MODEL_NOT_FOUND");
  // One that may come back by a build.
  status = Failure(Request(std::string(64, '0'), {MakePng(1)}));
  EXPECT_EQ(client::ReasonOf(status), "WEIGHT_SET_NOT_FOUND");
  EXPECT_EQ(Failure(Request("", {MakePng(1)})).code(),
            absl::StatusCode::kNotFound);
}

TEST_F(InferenceTest, ADisplayNameIsTheSetsThatWasGivenItLast) {
  Start();
  const std::string first = Build({"cat", "dog"}, "pets");
  const auto columns = [&] {
    return Infer(Request("pets", {MakePng(1)})).outputs(0).shape(1);
  };
  EXPECT_EQ(columns(), 2);
  const std::string second = Build({"cat", "dog", "owl"}, "pets");
  EXPECT_EQ(columns(), 3);
  const std::string nameless = Build({"car"});
  std::vector<std::string> sets = {first, "pets", nameless};
  // Sets are listed in the order of their ids.
  std::vector<std::pair<std::string, std::string>> by_id = {
      {first, first}, {second, "pets"}, {nameless, nameless}};
  std::sort(by_id.begin(), by_id.end());
  EXPECT_THAT(Index(),
              ElementsAre("image_encoder", "text_encoder", by_id[0].second,
                          by_id[1].second, by_id[2].second));
  Context context;
  v1::DeleteWeightSetRequest request;
  request.set_weight_set_id(second);
  v1::DeleteWeightSetResponse response;
  ASSERT_TRUE(
      running_->stub().DeleteWeightSet(&context, request, &response).ok());
  EXPECT_EQ(columns(), 2);
}

TEST_F(InferenceTest, ATowersNameIsNoSets) {
  Start();
  Build({"cat", "dog"}, "image_encoder");
  EXPECT_EQ(Infer(Request("image_encoder", {MakePng(1)})).outputs(0).name(),
            "embedding");
}

TEST_F(InferenceTest, MetadataAndConfigSayWhatAModelTakes) {
  Start();
  Build({"cat", "dog"}, "pets");
  const auto metadata = [&](const std::string& name) {
    Context context;
    inference::ModelMetadataRequest request;
    request.set_name(name);
    inference::ModelMetadataResponse response;
    const grpc::Status status =
        stub_->ModelMetadata(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    std::string text = absl::StrCat(response.name(), " ", response.platform(),
                                    " ", response.versions(0));
    for (const auto* list : {&response.inputs(), &response.outputs()}) {
      for (const auto& tensor : *list) {
        absl::StrAppend(&text, "; ", tensor.name(), " ", tensor.datatype());
        for (const int64_t dim : tensor.shape()) {
          absl::StrAppend(&text, " ", dim);
        }
      }
    }
    return text;
  };
  EXPECT_EQ(metadata("image_encoder"),
            "image_encoder zeroshot 1; image BYTES -1 1; embedding FP32 -1 64");
  EXPECT_EQ(metadata("text_encoder"),
            "text_encoder zeroshot 1; text BYTES -1 1; embedding FP32 -1 64");
  EXPECT_EQ(metadata("pets"),
            "pets zeroshot 1; image BYTES -1 1; class BYTES -1 -1; probability "
            "FP32 -1 -1; class_index INT32 -1 -1; accepted BOOL -1 -1; "
            "other_probability FP32 -1 1");
  Context context;
  inference::ModelConfigRequest request;
  request.set_name("image_encoder");
  inference::ModelConfigResponse response;
  ASSERT_TRUE(stub_->ModelConfig(&context, request, &response).ok());
  EXPECT_EQ(response.config().max_batch_size(),
            ServerOptions().max_batch_items);
  EXPECT_EQ(response.config().input(0).data_type(), inference::TYPE_STRING);
  EXPECT_THAT(response.config().input(0).dims(), ElementsAre(1));
  EXPECT_THAT(response.config().output(0).dims(), ElementsAre(64));
  Context another;
  request.set_name("birds");
  EXPECT_EQ(stub_->ModelConfig(&another, request, &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(InferenceTest, HealthIsToldWhileTheModelIsLoaded) {
  Start({}, /*serve=*/false);
  const auto health = [&] {
    Context live_context, ready_context;
    inference::ServerLiveResponse live;
    inference::ServerReadyResponse ready;
    EXPECT_TRUE(stub_->ServerLive(&live_context, {}, &live).ok());
    EXPECT_TRUE(stub_->ServerReady(&ready_context, {}, &ready).ok());
    return std::pair(live.live(), ready.ready());
  };
  EXPECT_EQ(health(), std::pair(true, false));
  EXPECT_FALSE(ModelReady("image_encoder"));
  EXPECT_EQ(Failure(Request("image_encoder", {MakePng(1)})).code(),
            absl::StatusCode::kUnavailable);
  running_->Serve();
  EXPECT_EQ(health(), std::pair(true, true));
  EXPECT_TRUE(ModelReady("image_encoder"));
  EXPECT_TRUE(ModelReady("text_encoder", "1"));
  EXPECT_FALSE(ModelReady("text_encoder", "2"));
  EXPECT_FALSE(ModelReady("birds"));
  EXPECT_FALSE(ModelReady(std::string(64, '0')));
  const std::string id = Build({"cat"}, "birds");
  EXPECT_TRUE(ModelReady("birds"));
  EXPECT_TRUE(ModelReady(id));
}

TEST_F(InferenceTest, WhatIsNotOfferedSaysSo) {
  Start();
  for (const char* const method :
       {"ModelStreamInfer", "ModelStatistics", "RepositoryModelLoad",
        "SystemSharedMemoryRegister", "TraceSetting"}) {
    RawCall call(running_->channel(),
                 absl::StrCat("/inference.GRPCInferenceService/", method), "");
    std::string response;
    EXPECT_FALSE(call.Read(&response));
    const grpc::Status status = call.Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
    EXPECT_THAT(status.error_message(),
                HasSubstr(absl::StrCat(method, " is not offered here: ")));
  }
}

TEST_F(InferenceTest, CallsAreCountedUnderTheirNames) {
  Start();
  Infer(Request("image_encoder", {MakePng(1)}));
  EXPECT_FALSE(Failure(Request("birds", {MakePng(1)})).ok());
  EXPECT_THAT(
      running_->server().status_source().metrics(),
      AllOf(
          HasSubstr(R"(zeroshot_calls_total{code="OK",method="ModelInfer"} 1)"),
          HasSubstr(
              R"(zeroshot_calls_total{code="NOT_FOUND",method="ModelInfer"} 1)")));
}

TEST_F(InferenceTest, ATokenThatMayClassifyIsEnough) {
  Start(WithTokens());
  const auto infer = [&](const char* token) {
    Context context;
    context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
    ModelInferResponse response;
    return stub_
        ->ModelInfer(&context, Request("image_encoder", {MakePng(1)}),
                     &response)
        .error_code();
  };
  EXPECT_EQ(infer("shop-token"), grpc::StatusCode::OK);
  EXPECT_EQ(infer("no-token"), grpc::StatusCode::UNAUTHENTICATED);
}

// Images take the places of those of Classify.
TEST_F(InferenceTest, AFullServerRefusesWithADelay) {
  ServerOptions options;
  options.max_inflight = 2;
  Start(options);
  running_->model().CloseGate();
  std::thread inside([&] {
    Infer(Request("image_encoder", {MakePng(1), MakePng(2)}));
  });
  ASSERT_TRUE(running_->model().WaitForCallsAtGate(1));
  Context context;
  ModelInferResponse response;
  const grpc::Status refused = stub_->ModelInfer(
      &context, Request("image_encoder", {MakePng(3)}), &response);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_GE(RetryPushback(context), absl::ZeroDuration());
  running_->model().OpenGate();
  inside.join();
}

TEST_F(InferenceTest, RawBytesOfSeveralImagesTakeMemoryTwice) {
  ServerOptions options;
  options.receive_memory_bytes = 8 << 20;  // half of it for calls inside
  options.max_request_bytes = 4 << 20;
  Start(options);
  const std::string large(3 << 20, 'x');
  absl::Status status = Failure(Request("image_encoder", {large, "x"}));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(client::ReasonOf(status), "OVERLOADED");
  status = Failure(Request("image_encoder", {large}));
  EXPECT_EQ(client::ReasonOf(status), "IMAGE_NOT_SUPPORTED") << status;
}

}  // namespace
}  // namespace zeroshot::server
