// The Open Inference Protocol over HTTP: JSON, and tensors as binary data
// behind it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tests/server/running_http.h"
#include "tests/server/with_tokens.h"
#include "tests/testing/make_png.h"

namespace zeroshot::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing_images::MakePng;
using Json = nlohmann::json;

std::string LengthOf(size_t size) {
  const auto length = static_cast<uint32_t>(size);
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length));
}

class InferenceHttpTest : public ::testing::Test {
 protected:
  void Start(const ServerOptions& options = {}, bool serve = true) {
    running_ = std::make_unique<HttpServer>(WithHttp(options), serve);
    client_ = ClientOf(*running_);
  }

  // JSON, and binary data behind it if there is any.
  httplib::Result Post(const std::string& model, const std::string& json,
                       const std::string& binary = "") {
    httplib::Headers headers;
    if (!binary.empty()) {
      headers.emplace("Inference-Header-Content-Length",
                      absl::StrCat(json.size()));
    }
    return client_->Post(
        "/v2/models/" + model + "/infer", headers, json + binary,
        binary.empty() ? "application/json" : "application/octet-stream");
  }
  // The words of an error.
  std::string Error(int code, const httplib::Result& result) {
    const Json answer = Expect(code, result);
    EXPECT_EQ(answer.size(), 1u) << answer;
    return answer.value("error", "");
  }

  static Json Image(const std::string& bytes) {
    return {{"name", "image"},
            {"datatype", "BYTES"},
            {"shape", {1}},
            {"data", {absl::Base64Escape(bytes)}}};
  }
  static Json BinaryImage(size_t size) {
    return {{"name", "image"},
            {"datatype", "BYTES"},
            {"shape", {1}},
            {"parameters", {{"binary_data_size", size}}}};
  }

  std::vector<float> Embedding() {
    Context context;
    v1::EmbedImagesRequest request;
    request.add_images(image_);
    v1::EmbedImagesResponse response;
    EXPECT_TRUE(
        running_->stub().EmbedImages(&context, request, &response).ok());
    return {response.embeddings().begin(), response.embeddings().end()};
  }

  std::unique_ptr<HttpServer> running_;
  std::unique_ptr<httplib::Client> client_;
  const std::string image_ = MakePng(20, 20);
};

TEST_F(InferenceHttpTest, JsonInAndJsonOut) {
  Start();
  const Json request = {{"id", "7"}, {"inputs", {Image(image_)}}};
  const Json answer = Expect(200, Post("image_encoder", request.dump()));
  EXPECT_EQ(answer["id"], "7");
  EXPECT_EQ(answer["model_name"], "image_encoder");
  EXPECT_EQ(answer["model_version"], "1");
  const Json& output = answer["outputs"][0];
  EXPECT_EQ(output["name"], "embedding");
  EXPECT_EQ(output["datatype"], "FP32");
  EXPECT_EQ(output["shape"], Json({1, 64}));
  EXPECT_EQ(output["data"].get<std::vector<float>>(), Embedding());
}

TEST_F(InferenceHttpTest, TextsStandInJsonAsTheyAreInRowsOrNot) {
  Start();
  for (const Json& data :
       {Json({"a cat", "a dog"}), Json::array({{"a cat"}, {"a dog"}})}) {
    const Json request = {{"inputs",
                           {{{"name", "text"},
                             {"datatype", "BYTES"},
                             {"shape", {2, 1}},
                             {"data", data}}}}};
    const Json answer = Expect(200, Post("text_encoder", request.dump()));
    EXPECT_EQ(answer["outputs"][0]["shape"], Json({2, 64})) << data;
    EXPECT_FALSE(answer.contains("id"));
  }
}

TEST_F(InferenceHttpTest, BinaryDataInAndOut) {
  Start();
  const std::string raw = LengthOf(image_.size()) + image_;
  const Json request = {{"inputs", {BinaryImage(raw.size())}},
                        {"parameters", {{"binary_data_output", true}}}};
  const auto result = Post("image_encoder", request.dump(), raw);
  ASSERT_TRUE(result);
  ASSERT_EQ(result->status, 200) << result->body;
  EXPECT_EQ(result->get_header_value("Content-Type"),
            "application/octet-stream");
  const size_t head =
      std::stoul(result->get_header_value("Inference-Header-Content-Length"));
  const Json answer = Json::parse(result->body.substr(0, head));
  const std::vector<float> expected = Embedding();
  EXPECT_EQ(answer["outputs"][0]["parameters"]["binary_data_size"],
            expected.size() * sizeof(float));
  ASSERT_EQ(result->body.size() - head, expected.size() * sizeof(float));
  EXPECT_EQ(std::memcmp(result->body.data() + head, expected.data(),
                        result->body.size() - head),
            0);
}

// Each output as it was asked for, whatever the input came as.
TEST_F(InferenceHttpTest, OutputsSayHowTheyShallCome) {
  Start();
  const std::string id = running_->Build(BuildRequest({"frog", "car"}));
  const std::string raw = LengthOf(image_.size()) + image_;
  const Json wanted = {
      {{"name", "class"}, {"parameters", {{"binary_data", true}}}},
      {{"name", "probability"}},
      {{"name", "accepted"}, {"parameters", {{"binary_data", true}}}},
      {{"name", "class_index"}, {"parameters", {{"binary_data", false}}}}};
  for (const bool binary : {false, true}) {
    const Json request = {
        {"inputs", {binary ? BinaryImage(raw.size()) : Image(image_)}},
        {"outputs", wanted}};
    const auto result = Post(id, request.dump(), binary ? raw : "");
    ASSERT_TRUE(result);
    ASSERT_EQ(result->status, 200) << result->body;
    const size_t head =
        std::stoul(result->get_header_value("Inference-Header-Content-Length"));
    const Json answer = Json::parse(result->body.substr(0, head));
    const int best = answer["outputs"][3]["data"][0];
    EXPECT_EQ(answer["outputs"][1]["data"].size(), 2u);
    EXPECT_FALSE(answer["outputs"][0].contains("data"));
    const std::string names[] = {LengthOf(4) + "frog", LengthOf(3) + "car"};
    EXPECT_EQ(result->body.substr(head),
              names[best] + names[1 - best] + "\x01\x01");
  }
}

TEST_F(InferenceHttpTest, AllDatatypesHaveTheirJson) {
  Start();
  const std::string id = running_->Build(BuildRequest({"frog", "car"}));
  const Json request = {{"inputs", {Image(image_)}},
                        {"parameters", {{"top_k", 1}}}};
  const Json outputs = Expect(200, Post(id, request.dump()))["outputs"];
  ASSERT_EQ(outputs.size(), 5u);
  EXPECT_TRUE(outputs[0]["data"][0].is_string());
  EXPECT_TRUE(outputs[1]["data"][0].is_number_float());
  EXPECT_TRUE(outputs[2]["data"][0].is_number_integer());
  EXPECT_EQ(outputs[3]["data"], Json::array({true}));
  EXPECT_EQ(outputs[4]["data"], Json::array({0}));
}

TEST_F(InferenceHttpTest, WithoutJsonTheBodyIsTheImage) {
  Start();
  const auto result = client_->Post("/v2/models/image_encoder/versions/1/infer",
                                    {{"Inference-Header-Content-Length", "0"}},
                                    image_, "image/png");
  ASSERT_TRUE(result);
  ASSERT_EQ(result->status, 200) << result->body;
  const size_t head =
      std::stoul(result->get_header_value("Inference-Header-Content-Length"));
  EXPECT_EQ(result->body.size() - head, Embedding().size() * sizeof(float));
  const auto text = client_->Post("/v2/models/text_encoder/infer",
                                  {{"Inference-Header-Content-Length", "0"}},
                                  "a cat", "application/octet-stream");
  ASSERT_TRUE(text);
  EXPECT_EQ(text->status, 200) << text->body;
}

TEST_F(InferenceHttpTest, ModelsDescribeThemselves) {
  Start();
  v1::BuildClassifierRequest build = BuildRequest({"frog", "car"});
  build.set_display_name("pond life");
  running_->Build(build);
  const Json server = Expect(200, client_->Get("/v2"));
  EXPECT_EQ(server["name"], "zeroshot");
  EXPECT_THAT(server["extensions"].dump(), HasSubstr("binary_tensor_data"));
  for (const char* const version : {"", "/versions/1"}) {
    const std::string path = absl::StrCat("/v2/models/pond%20life", version);
    const Json model = Expect(200, client_->Get(path));
    EXPECT_EQ(model["name"], "pond life");
    EXPECT_EQ(model["versions"], Json::array({"1"}));
    EXPECT_EQ(
        model["inputs"],
        Json::parse(
            R"([{"name": "image", "datatype": "BYTES", "shape": [-1, 1]}])"));
    EXPECT_EQ(model["outputs"].size(), 5u);
    EXPECT_EQ(Expect(200, client_->Get(path + "/ready")),
              Json({{"name", "pond life"}, {"ready", true}}));
    const Json config = Expect(200, client_->Get(path + "/config"));
    EXPECT_EQ(config["max_batch_size"], ServerOptions().max_batch_items);
    EXPECT_EQ(config["input"][0]["data_type"], "TYPE_STRING");
    EXPECT_EQ(config["output"][1]["dims"], Json({-1}));
  }
  for (const char* const body : {"", R"({"ready": true})"}) {
    const Json index = Expect(
        200, client_->Post("/v2/repository/index", body, "application/json"));
    ASSERT_EQ(index.size(), 3u);
    EXPECT_EQ(index[2]["name"], "pond life");
    EXPECT_EQ(index[2]["state"], "READY");
  }
}

TEST_F(InferenceHttpTest, HealthNeedsNoTokenAndTellsOfALoad) {
  Start(WithTokens(), /*serve=*/false);
  EXPECT_EQ(Expect(200, client_->Get("/v2/health/live")),
            Json({{"live", true}}));
  EXPECT_THAT(Error(503, client_->Get("/v2/health/ready")),
              HasSubstr("loading"));
  running_->Serve();
  EXPECT_EQ(Expect(200, client_->Get("/v2/health/ready")),
            Json({{"ready", true}}));
  EXPECT_THAT(Error(401, client_->Get("/v2/models/image_encoder/ready")),
              HasSubstr("a token is needed"));
  client_->set_bearer_token_auth("shop-token");
  Expect(200, client_->Get("/v2/models/image_encoder/ready"));
}

// Before a byte of the body is read.
TEST_F(InferenceHttpTest, StrangersAreRefusedByTheirHeaders) {
  Start(WithTokens());
  EXPECT_THAT(Error(401, client_->Post("/v2/models/image_encoder/infer",
                                       {{"Expect", "100-continue"}}, "no JSON",
                                       "application/json")),
              HasSubstr("a token is needed"));
}

TEST_F(InferenceHttpTest, ErrorsAreWordsWithTheirCodes) {
  Start();
  EXPECT_THAT(Error(404, Post("birds", "{}")), HasSubstr("'birds'"));
  EXPECT_THAT(Error(404, client_->Get("/v2/models/birds")),
              HasSubstr("'birds'"));
  EXPECT_THAT(Error(404, client_->Get("/v2/models/birds/ready")),
              HasSubstr("'birds'"));
  EXPECT_THAT(Error(404, client_->Get("/v2/models/image_encoder/versions/2")),
              HasSubstr("no version '2'"));
  EXPECT_THAT(Error(404, client_->Get("/v2/models/image_encoder/stats")),
              HasSubstr("there is no '/v2/models/image_encoder/stats'"));
  EXPECT_THAT(Error(405, client_->Get("/v2/models/image_encoder/infer")),
              HasSubstr("POST"));
  EXPECT_THAT(Error(415, client_->Post("/v2/models/image_encoder/infer", "a=b",
                                       "application/x-www-form-urlencoded")),
              HasSubstr("application/octet-stream"));
  EXPECT_THAT(Error(415, client_->Post("/v2/models/image_encoder/infer",
                                       {{"Content-Encoding", "gzip"}}, "x",
                                       "application/json")),
              HasSubstr("Content-Encoding is 'gzip'"));
  EXPECT_THAT(Error(400, client_->Get("/v2/models/%ff")),
              HasSubstr("not UTF-8"));
  Json request = {{"inputs", {Image("no image")}}};
  EXPECT_THAT(Error(415, Post("image_encoder", request.dump())),
              HasSubstr("image[0]: "));
  request["inputs"][0]["data"][0] = "http://example.org/a.png";
  EXPECT_THAT(Error(400, Post("image_encoder", request.dump())),
              HasSubstr("image[0]"));
}

TEST_F(InferenceHttpTest, WrongBodiesAreNamed) {
  Start();
  const auto refusal = [&](const Json& request,
                           const std::string& binary = "") {
    return Error(400, Post("image_encoder", request.dump(), binary));
  };
  EXPECT_THAT(Error(400, Post("image_encoder", "{\"inputs\": [")),
              HasSubstr("no JSON"));
  EXPECT_THAT(Error(400, Post("image_encoder", "")), HasSubstr("no JSON"));
  EXPECT_THAT(refusal({{"input", 1}}), HasSubstr("'input'"));
  EXPECT_THAT(refusal({{"model_name", "text_encoder"}}),
              HasSubstr("the path says 'image_encoder'"));
  EXPECT_THAT(refusal({{"inputs", Json::array()}}),
              HasSubstr("there are 0 inputs"));
  Json wrong = Image(image_);
  wrong["data"] = {1, 2};
  EXPECT_THAT(refusal({{"inputs", {wrong}}}),
              HasSubstr("inputs[0].data[0] must be a text"));
  wrong = Image(image_);
  wrong["shape"] = {1.5};
  EXPECT_THAT(refusal({{"inputs", {wrong}}}),
              HasSubstr("inputs[0].shape[0] must be a whole number"));
  wrong["shape"] = Json::parse("[100000000000000000000]");
  EXPECT_THAT(refusal({{"inputs", {wrong}}}),
              HasSubstr("inputs[0].shape[0] must be a whole number"));
  wrong = Image(image_);
  wrong.erase("data");
  EXPECT_THAT(refusal({{"inputs", {wrong}}}),
              HasSubstr("inputs[0] has neither"));
  wrong = BinaryImage(4);
  wrong["data"] = {"x"};
  EXPECT_THAT(refusal({{"inputs", {wrong}}}), HasSubstr("inputs[0] has both"));
  for (const char* const value : {"{}", "[1]", "{\"a\": {\"b\": 1}}"}) {
    Json nested = {{"inputs", {Image(image_)}}};
    nested["parameters"]["top_k"] = Json::parse(value);
    EXPECT_THAT(refusal(nested), HasSubstr("parameters.top_k must be a text"));
  }
  EXPECT_THAT(refusal({{"inputs", {Image(image_)}},
                       {"parameters", {{"binary_data_output", "yes"}}}}),
              HasSubstr("binary_data_output must be true or false"));
  Json deep = Image(image_);
  for (int i = 0; i < 20; ++i) deep["data"] = Json::array({deep["data"]});
  EXPECT_THAT(refusal({{"inputs", {deep}}}), HasSubstr("must be a text"));
  Json many = {{"inputs", {Image(image_)}}};
  for (int i = 0; i < 65; ++i) {
    many["parameters"][absl::StrCat("p", i)] = 1;
  }
  EXPECT_THAT(refusal(many), HasSubstr("more than 64"));
}

TEST_F(InferenceHttpTest, SizesOfBinaryDataThatLieAreNamed) {
  Start();
  const std::string raw = LengthOf(image_.size()) + image_;
  const auto refusal = [&](const Json& size) {
    Json input = BinaryImage(0);
    input["parameters"]["binary_data_size"] = size;
    const Json request = {{"inputs", {input}}};
    return Error(400, Post("image_encoder", request.dump(), raw));
  };
  EXPECT_THAT(refusal(raw.size() - 1), HasSubstr("add up to"));
  EXPECT_THAT(refusal(raw.size() + 1), HasSubstr("are left behind the JSON"));
  EXPECT_THAT(refusal(int64_t{1} << 62), HasSubstr("are left behind the JSON"));
  EXPECT_THAT(refusal(-1), HasSubstr("a whole number from 0"));
  EXPECT_THAT(refusal(1.5), HasSubstr("a whole number from 0"));
  const auto header = [&](const std::string& value) {
    return Error(
        400,
        client_->Post("/v2/models/image_encoder/infer",
                      {{"Inference-Header-Content-Length", value}},
                      "{\"inputs\": []}" + raw, "application/octet-stream"));
  };
  EXPECT_THAT(header("many"), HasSubstr("it must be a number of bytes"));
  EXPECT_THAT(header("-1"), HasSubstr("it must be a number of bytes"));
  EXPECT_THAT(header("1000000"), HasSubstr("bytes at most"));
  EXPECT_THAT(header("10"), HasSubstr("no JSON"));
  // A body that says no length beforehand.
  const auto chunked = client_->Post(
      "/v2/models/image_encoder/infer",
      {{"Inference-Header-Content-Length", "1000"}},
      [](size_t, httplib::DataSink& sink) {
        sink.write("{}", 2);
        sink.done();
        return true;
      },
      "application/octet-stream");
  EXPECT_THAT(Error(400, chunked), HasSubstr("2 bytes at most"));
}

TEST_F(InferenceHttpTest, ListsBeyondTheirLimitsAreRefused) {
  ServerOptions options;
  options.max_batch_items = 3;
  Start(options);
  Json input = Image(image_);
  input["name"] = "text";
  input["data"] = {"a", "b", "c", "d"};
  EXPECT_THAT(
      Error(400, Post("text_encoder", Json({{"inputs", {input}}}).dump())),
      HasSubstr("inputs[0].data has too many items; at most 3 are allowed"));
  input["data"] = Json::array({{"a", "b"}, {"c", "d"}});
  EXPECT_THAT(
      Error(400, Post("text_encoder", Json({{"inputs", {input}}}).dump())),
      HasSubstr("more than 3 items"));
  input["data"] = {"a"};
  input["shape"] = std::vector<int>(65, 1);
  EXPECT_THAT(
      Error(400, Post("text_encoder", Json({{"inputs", {input}}}).dump())),
      HasSubstr("inputs[0].shape has too many items; at most 64 are allowed"));
}

}  // namespace
}  // namespace zeroshot::server
