// The HTTP API over a real socket, with a fake model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tests/server/running_http.h"
#include "tests/server/with_tokens.h"
#include "tests/testing/certificates.h"
#include "tests/testing/make_png.h"

namespace zeroshot::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using testing_images::MakePng;
using Json = nlohmann::json;

std::string Base64(const std::string& bytes) {
  return absl::Base64Escape(bytes);
}

httplib::MultipartFormDataItems Form(
    std::vector<std::pair<std::string, std::string>> fields,
    const std::vector<std::string>& images) {
  httplib::MultipartFormDataItems items;
  for (const std::string& image : images) {
    items.push_back({"image", image, "a.png", "image/png"});
  }
  for (auto& [name, text] : fields) items.push_back({name, text, "", ""});
  return items;
}

class HttpTest : public ::testing::Test {
 protected:
  HttpServer running_{WithHttp()};
  std::unique_ptr<httplib::Client> client_ = ClientOf(running_);
  const std::string image_ = MakePng(20, 20);
};

TEST_F(HttpTest, AFormWithAnImageIsClassified) {
  const Json answer =
      Expect(200, client_->Post("/v1/classify",
                                Form({{"classes", "frog, car"}}, {image_})));
  ASSERT_EQ(answer["predictions"].size(), 2u);
  EXPECT_TRUE(answer["predictions"][0]["probability"].is_number());
  EXPECT_TRUE(answer["timing"]["total"].is_number());
  EXPECT_EQ(answer["other_probability"], 0);
  EXPECT_EQ(answer["build"]["num_classes"], 2);
}

// What gRPC answers is what HTTP answers, to the last bit.
TEST_F(HttpTest, AllFormsOfARequestHaveTheAnswerOfGrpc) {
  const std::string id = running_.Build(BuildRequest({"frog", "car", "dog"}));
  v1::ClassifyRequest request;
  request.set_image(image_);
  request.set_weight_set_id(id);
  request.set_top_k(2);
  v1::ClassifyResponse expected;
  ASSERT_TRUE(running_.Classify(request, &expected).ok());

  const std::string query = absl::StrCat("?weight_set_id=", id, "&top_k=2");
  const Json json = {
      {"image", Base64(image_)}, {"weight_set_id", id}, {"top_k", 2}};
  const Json uri = {{"image", "data:image/png;base64," + Base64(image_)},
                    {"weight_set_id", id},
                    {"top_k", 2}};
  const Json answers[] = {
      Expect(200, client_->Post("/v1/classify" + query, image_, "image/png")),
      Expect(200, client_->Post("/v1/classify" + query, image_,
                                "application/x-www-form-urlencoded")),
      Expect(200, client_->Post(
                      "/v1/classify",
                      Form({{"weight_set_id", id}, {"top_k", "2"}}, {image_}))),
      Expect(200,
             client_->Post("/v1/classify", json.dump(), "application/json")),
      Expect(200,
             client_->Post("/v1/classify", uri.dump(), "application/json"))};
  for (const Json& answer : answers) {
    ASSERT_EQ(answer["predictions"].size(), 2u);
    for (int i = 0; i < 2; ++i) {
      const v1::Prediction& prediction = expected.predictions(i);
      const Json& found = answer["predictions"][i];
      EXPECT_EQ(found["class_name"], prediction.class_name());
      EXPECT_EQ(found["probability"].get<float>(), prediction.probability());
      EXPECT_EQ(found["cosine"].get<float>(), prediction.cosine());
      EXPECT_EQ(found["accepted"], true);
    }
    EXPECT_EQ(answer["weight_set_id"], id);
    EXPECT_FALSE(answer.contains("build"));
  }
}

TEST_F(HttpTest, AnImageOfSeveralFailsAlone) {
  const Json answer =
      Expect(200, client_->Post("/v1/classify", Form({{"classes", "frog,car"}},
                                                     {image_, "no image"})));
  ASSERT_EQ(answer["items"].size(), 2u);
  EXPECT_TRUE(answer["items"][0].contains("answer"));
  EXPECT_FALSE(answer["items"][0].contains("error"));
  EXPECT_EQ(answer["items"][1]["error"]["reason"], "IMAGE_NOT_SUPPORTED");
  EXPECT_EQ(answer["items"][1]["error"]["code"], 415);
}

struct Bad {
  std::string body;
  int code;
  std::string reason;
  std::string says;
};

TEST_F(HttpTest, WhatIsWrongWithARequestIsSaid) {
  const std::string image = Base64(image_);
  const Bad all[] = {
      {R"({"image": ")" + image + R"(", "clases": []})", 400, "INVALID_FIELD",
       "clases"},
      {R"({"image": ")" + image + R"(", "top_k": 1, "top_k": 2})", 400,
       "INVALID_FIELD", "twice"},
      {R"({"image": "http://a.example/b.png", "classes": ["a", "b"]})", 400,
       "INVALID_FIELD", "not fetch"},
      {R"({"image": "!", "classes": ["a", "b"]})", 400, "INVALID_FIELD",
       "base64"},
      {R"({"classes": ["a", "b"]})", 400, "INVALID_FIELD", "no image"},
      {R"({"image": ")" + image + R"(", "top_k": "many"})", 400,
       "INVALID_FIELD", "top_k must be a number"},
      {R"({"image": ")" + image + R"(", "classes": "frog"})", 400,
       "INVALID_FIELD", "list"},
      {R"({"image": ")" + image + R"(", "classes": [{"name": 3}]})", 400,
       "INVALID_FIELD", "classes[0].name"},
      {"{\"image\": \"\xff\"}", 400, "INVALID_REQUEST", "UTF-8"},
      {"{", 400, "INVALID_REQUEST", "line 1"},
      {std::string(100'000, '['), 400, "INVALID_REQUEST", "line 1"},
      {R"({"image": ")" + Base64("GIF") + R"(", "classes": ["a", "b"]})", 415,
       "IMAGE_NOT_SUPPORTED", ""},
      {R"({"image": ")" + image + R"(", "weight_set_id": ")" +
           std::string(64, 'a') + R"("})",
       404, "WEIGHT_SET_NOT_FOUND", "aaaa"},
  };
  for (const Bad& bad : all) {
    const Json error = Expect(
        bad.code,
        client_->Post("/v1/classify", bad.body, "application/json"))["error"];
    EXPECT_EQ(error["reason"], bad.reason) << bad.body.substr(0, 80);
    EXPECT_EQ(error["code"], bad.code);
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr(bad.says));
  }
}

TEST_F(HttpTest, RoutesAndMethodsThatThereAreNotAreRefused) {
  EXPECT_EQ(Expect(404, client_->Get("/v3/health"))["error"]["reason"],
            "ROUTE_NOT_FOUND");
  Expect(404, client_->Get("/v1/../v1/model"));
  Expect(404, client_->Get("//v1/model"));
  Expect(404, client_->Get("/v1/classifiers/a%2Fb/file/x"));
  Expect(400, client_->Get("/v1/classifiers/%zz"));
  const auto result = client_->Get("/v1/classify");
  Expect(405, result);
  EXPECT_THAT(result->get_header_value("Allow"), HasSubstr("POST"));
  EXPECT_EQ(Expect(415, client_->Post("/v1/classify", "x",
                                      "text/plain"))["error"]["reason"],
            "CONTENT_TYPE_NOT_SUPPORTED");
}

TEST_F(HttpTest, AClassifierIsBuiltListedDescribedAndDeleted) {
  const Json built =
      Expect(200, client_->Post("/v1/classifiers",
                                R"({"classes": ["frog", {"name": "car",
                             "min_probability": 0.5, "group": "vehicle"}],
                             "display_name": "two"})",
                                "application/json"));
  const std::string id = built["weight_set_id"];
  EXPECT_EQ(built["cached"], false);
  EXPECT_EQ(
      Expect(200, client_->Post(
                      "/v1/classifiers",
                      "classes=%5B%22frog%22%2C+%7B%22name%22%3A+%22car%"
                      "22%2C+%22min_probability%22%3A+0.5%2C+%22group%22%"
                      "3A+%22vehicle%22%7D%5D",
                      "application/x-www-form-urlencoded"))["weight_set_id"],
      id);
  const Json list = Expect(200, client_->Get("/v1/classifiers?page_size=10"));
  ASSERT_EQ(list["weight_sets"].size(), 1u);
  EXPECT_EQ(list["weight_sets"][0]["display_name"], "two");
  EXPECT_THAT(list["weight_sets"][0]["create_time"].get<std::string>(),
              StartsWith("20"));
  const Json set = Expect(200, client_->Get("/v1/classifiers/" + id));
  EXPECT_EQ(set["class_names"], Json({"frog", "car"}));
  EXPECT_EQ(set["decisions"][0]["group"], "vehicle");
  EXPECT_EQ(Expect(200, client_->Delete("/v1/classifiers/" + id)),
            Json::object());
  Expect(404, client_->Get("/v1/classifiers/" + id));
}

TEST_F(HttpTest, ABuildTellsOfItsProgress) {
  httplib::Headers headers = {{"Accept", "text/event-stream"}};
  const auto answer =
      client_->Post("/v1/classifiers", headers,
                    R"({"classes": ["frog", "car"]})", "application/json");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->get_header_value("Content-Type"), "text/event-stream");
  EXPECT_THAT(answer->body,
              AllOf(HasSubstr("event: progress\ndata: {\"prompts"),
                    HasSubstr("event: result\ndata: {\"weight")));
  // What is refused before anything was done is an error like any other.
  EXPECT_EQ(Expect(400, client_->Post(
                            "/v1/classifiers", headers, R"({"classes": [""]})",
                            "application/json"))["error"]["details"]["field"],
            "classes[0].name");
}

TEST_F(HttpTest, AFileThatIsExportedIsImported) {
  const std::string id = running_.Build(BuildRequest({"frog", "car"}));
  const auto file = client_->Get("/v1/classifiers/" + id + "/file");
  ASSERT_TRUE(file);
  ASSERT_EQ(file->status, 200);
  EXPECT_THAT(file->get_header_value("Content-Disposition"),
              HasSubstr(id + ".safetensors"));
  EXPECT_EQ(file->get_header_value("Content-Length"),
            absl::StrCat(file->body.size()));
  const Json imported =
      Expect(200, client_->Post("/v1/classifiers/import?display_name=mine",
                                file->body, "application/octet-stream"));
  EXPECT_THAT(imported["weight_set"]["weight_set_id"].get<std::string>(),
              StartsWith("imported-"));
  httplib::MultipartFormDataItems form = {
      {"display_name", "again", "", ""},
      {"file", file->body, "a.safetensors", "application/octet-stream"}};
  EXPECT_EQ(Expect(200, client_->Post("/v1/classifiers/import",
                                      form))["weight_set"]["weight_set_id"],
            imported["weight_set"]["weight_set_id"]);
  EXPECT_EQ(
      Expect(400, client_->Post("/v1/classifiers/import", "no file",
                                "application/octet-stream"))["error"]["reason"],
      "INVALID_FILE");
  Expect(404,
         client_->Get("/v1/classifiers/" + std::string(64, 'a') + "/file"));
}

TEST_F(HttpTest, EmbeddingsHaveTheShapeOfOpenAi) {
  const Json request = {
      {"input",
       {"a frog", "data:image/png;base64," + Base64(image_), "a car"}}};
  const Json answer = Expect(
      200, client_->Post("/v1/embeddings", request.dump(), "application/json"));
  ASSERT_EQ(answer["data"].size(), 3u);
  v1::EmbedTextsRequest texts;
  texts.add_texts("a frog");
  texts.add_texts("a car");
  v1::EmbedTextsResponse expected;
  Context context;
  ASSERT_TRUE(running_.stub().EmbedTexts(&context, texts, &expected).ok());
  const int dim = expected.embedding_dim();
  for (int i = 0; i < dim; ++i) {
    EXPECT_EQ(answer["data"][0]["embedding"][i].get<float>(),
              expected.embeddings(i));
    EXPECT_EQ(answer["data"][2]["embedding"][i].get<float>(),
              expected.embeddings(dim + i));
  }
  const Json messages = {
      {"encoding_format", "base64"},
      {"messages",
       {{{"role", "user"},
         {"content",
          {{{"type", "image_url"},
            {"image_url",
             {{"url", "data:image/png;base64," + Base64(image_)}}}}}}}}}};
  const Json one = Expect(200, client_->Post("/v1/embeddings", messages.dump(),
                                             "application/json"));
  std::string floats;
  ASSERT_TRUE(absl::Base64Unescape(
      one["data"][0]["embedding"].get<std::string>(), &floats));
  ASSERT_EQ(floats.size(), dim * sizeof(float));
  EXPECT_EQ(reinterpret_cast<const float*>(floats.data())[3],
            answer["data"][1]["embedding"][3].get<float>());
  EXPECT_EQ(Expect(404, client_->Post("/v1/embeddings",
                                      R"({"model": "gpt", "input": "a"})",
                                      "application/json"))["error"]["reason"],
            "MODEL_NOT_FOUND");
  const Json too_long = {{"input", {"a", std::string(200'000, 'a')}}};
  EXPECT_THAT(Expect(400, client_->Post("/v1/embeddings", too_long.dump(),
                                        "application/json"))["error"]["message"]
                  .get<std::string>(),
              StartsWith("input[1]: "));
  EXPECT_THAT(
      Expect(400, client_->Post("/v1/embeddings", R"({"input": [[1, 2]]})",
                                "application/json"))["error"]["message"]
          .get<std::string>(),
      HasSubstr("tokens are not taken"));
}

TEST_F(HttpTest, TheModelAndTheNamedSetsAreDescribed) {
  const Json model = Expect(200, client_->Get("/v1/model"));
  EXPECT_EQ(model["score_function"], "softmax");
  EXPECT_TRUE(model["limits"]["max_image_bytes"].is_number_integer());
  const Json models = Expect(200, client_->Get("/v1/models"));
  const std::string name = models["data"][0]["id"];
  EXPECT_EQ(model["name"].get<std::string>(), name);
  EXPECT_EQ(Expect(200, client_->Get("/v1/models/" + name))["id"], name);
  Expect(404, client_->Get("/v1/models/other"));
  EXPECT_GT(
      Expect(200, client_->Get("/v1/template_sets"))["template_sets"].size(),
      1u);
  EXPECT_GT(Expect(200, client_->Get("/v1/class_sets"))["class_sets"].size(),
            1u);
  EXPECT_EQ(
      Expect(200,
             client_->Get("/v1/class_sets/cifar10?page_size=3"))["class_names"]
          .size(),
      3u);
}

TEST_F(HttpTest, PagesForProbesAndPeopleAreThere) {
  for (const char* path : {"/livez", "/readyz"}) {
    const auto page = client_->Get(path);
    ASSERT_TRUE(page) << path;
    EXPECT_EQ(page->status, 200);
    EXPECT_EQ(page->body, "ok\n");
  }
  const auto metrics = client_->Get("/metrics");
  ASSERT_TRUE(metrics);
  EXPECT_THAT(metrics->body, HasSubstr("zeroshot_"));
  for (const char* path : {"/", "/docs"}) {
    const auto page = client_->Get(path);
    ASSERT_TRUE(page) << path;
    EXPECT_EQ(page->status, 200);
    EXPECT_THAT(page->get_header_value("Content-Security-Policy"),
                AllOf(HasSubstr("default-src 'none'"), HasSubstr("'sha256-"),
                      Not(HasSubstr("unsafe"))));
  }
  const auto head = client_->Head("/livez");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->get_header_value("Content-Length"), "3");
  EXPECT_EQ(head->body, "");
}

TEST_F(HttpTest, ARequestIsFoundAgainByItsId) {
  httplib::Headers headers = {{"X-Request-Id", "mine-1"}};
  const auto kept = client_->Get("/v1/model", headers);
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->get_header_value("X-Request-Id"), "mine-1");
  const auto made = client_->Get("/livez");
  ASSERT_TRUE(made);
  EXPECT_EQ(made->get_header_value("X-Request-Id").size(), 16u);
}

TEST_F(HttpTest, ACallEndsAtItsDeadlineAndWhenItsClientLeaves) {
  const std::string id = running_.Build(BuildRequest({"frog", "car"}));
  running_.model().CloseGate();
  const std::string target = "/v1/classify?weight_set_id=" + id;
  httplib::Headers headers = {{"X-Request-Timeout", "0.2"}};
  const auto late = client_->Post(target, headers, image_, "image/png");
  EXPECT_EQ(Expect(504, late)["error"]["reason"], "DEADLINE_EXCEEDED");
  // A client that leaves: its place inside is free again.
  auto leaving = ClientOf(running_);
  leaving->set_read_timeout(0, 300'000);
  EXPECT_FALSE(leaving->Post(target, image_, "image/png"));
  running_.model().OpenGate();
  Expect(200, client_->Post(target, image_, "image/png"));
  headers = {{"X-Request-Timeout", "soon"}};
  Expect(400, client_->Post(target, headers, image_, "image/png"));
}

TEST(HttpLimitsTest, ARefusalSaysWhenToTryAgain) {
  ServerOptions options = WithHttp();
  options.max_inflight = 1;
  HttpServer running(options);
  const std::string id = running.Build(BuildRequest({"frog", "car"}));
  const std::string target = "/v1/classify?weight_set_id=" + id;
  const std::string image = MakePng(20, 20);
  running.model().CloseGate();
  std::thread first([&] {
    Expect(200, ClientOf(running)->Post(target, image, "image/png"));
  });
  ASSERT_TRUE(running.model().WaitForCallsAtGate(1));
  const auto refused = ClientOf(running)->Post(target, image, "image/png");
  const Json error = Expect(429, refused)["error"];
  EXPECT_EQ(error["reason"], "OVERLOADED");
  EXPECT_EQ(refused->get_header_value("Retry-After"), "1");
  EXPECT_GT(error["details"]["retry_delay"], 0);
  // Health is no call.
  EXPECT_EQ(ClientOf(running)->Get("/livez")->status, 200);
  running.model().OpenGate();
  first.join();
}

TEST(HttpLimitsTest, ABodyOverItsLimitIsRefusedUnread) {
  ServerOptions options = WithHttp();
  options.embedder.max_image_bytes = 1000;
  HttpServer running(options);
  const auto refused = ClientOf(running)->Post(
      "/v1/classify?classes=a,b", std::string(1001, 'x'), "image/png");
  EXPECT_EQ(Expect(413, refused)["error"]["reason"], "BODY_TOO_LARGE");
}

// --client_patience is for clients that do nothing, not for us.
TEST(HttpLimitsTest, ABuildMayTakeLongerThanAClientsPatience) {
  ServerOptions options = WithHttp();
  options.client_patience = absl::Seconds(1);
  HttpServer running(options);
  running.model().CloseGate();
  std::thread opening([&] {
    absl::SleepFor(absl::Milliseconds(2500));
    running.model().OpenGate();
  });
  const auto answer = ClientOf(running)->Post(
      "/v1/classifiers", {{"Accept", "text/event-stream"}},
      R"({"classes": ["frog", "car"]})", "application/json");
  opening.join();
  ASSERT_TRUE(answer);
  EXPECT_THAT(answer->body, HasSubstr("event: result"));
}

TEST(HttpStartTest, CallsAreUnavailableUntilTheModelIsThere) {
  HttpServer running(WithHttp(), /*serve=*/false);
  const auto loading = ClientOf(running)->Get("/v1/model");
  EXPECT_EQ(Expect(503, loading)["error"]["reason"], "LOADING");
  EXPECT_NE(loading->get_header_value("Retry-After"), "");
  EXPECT_EQ(ClientOf(running)->Get("/livez")->status, 200);
  EXPECT_EQ(ClientOf(running)->Get("/readyz")->status, 503);
  running.Serve();
  EXPECT_EQ(ClientOf(running)->Get("/readyz")->status, 200);
  Expect(200, ClientOf(running)->Get("/v1/model"));
}

TEST(HttpStartTest, PortInUseIsAClearError) {
  HttpServer running(WithHttp());
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.http_listen =
      absl::StrCat("127.0.0.1:", running.server().http_port());
  auto second = Server::Start(options);
  ASSERT_TRUE(second.ok());
  EXPECT_THAT(std::string((*second)->ListenHttp().message()),
              AllOf(HasSubstr("--http_listen"), HasSubstr("in use")));
}

TEST(HttpTokensTest, ATokenIsNeededAndMustAllowIt) {
  HttpServer running(WithHttp(WithTokens()));
  auto client = ClientOf(running);
  const auto none = client->Get("/v1/model");
  EXPECT_EQ(Expect(401, none)["error"]["reason"], "UNAUTHENTICATED");
  EXPECT_EQ(none->get_header_value("WWW-Authenticate"), "Bearer");
  Expect(401, client->Get("/metrics"));
  client->set_bearer_token_auth("shop-token");
  Expect(200, client->Get("/v1/model"));
  const char kTwo[] = R"({"classes": ["frog", "car"]})";
  Expect(403, client->Post("/v1/classifiers", kTwo, "application/json"));
  // A classifier in place is built as well.
  Expect(403, client->Post("/v1/classify?classes=a,b", MakePng(20, 20),
                           "image/png"));
  EXPECT_EQ(client->Get("/livez")->status, 200);
  EXPECT_EQ(client->Get("/openapi.json")->status, 200);
  auto trainer = ClientOf(running);
  trainer->set_bearer_token_auth("trainer-token");
  Expect(200, trainer->Post("/v1/classifiers", kTwo, "application/json"));
}

// A caller over gRPC cannot say that it is somebody else.
TEST(HttpTokensTest, MetadataOfCallsFromWithinMeanNothingFromOutside) {
  HttpServer running(WithHttp(WithTokens()));
  Context context;
  context.AddMetadata("zeroshot-inside", std::string(32, '0'));
  context.AddMetadata("zeroshot-certificate", "admin");
  v1::GetModelResponse response;
  EXPECT_EQ(running.stub().GetModel(&context, {}, &response).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

// A server that speaks TLS and a client that trusts its authority.
class HttpTlsTest : public ::testing::Test {
 protected:
  HttpTlsTest() {
    authority_.Sign("server");
    authority_.Sign("client");
    options_ = WithHttp();
    options_.listen = "127.0.0.1:0";
    options_.security.tls_cert = authority_.CertFile("server");
    options_.security.tls_key = authority_.KeyFile("server");
  }

  void StartServer() {
    auto started = Server::Start(options_);
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
    ASSERT_TRUE(server_->ListenHttp().ok());
    server_->Serve(std::make_unique<clip::FakeModel>());
  }

  // The code of GetModel over a new connection; 0: there is none.
  int Ask(const testing_certificates::Authority& trusted,
          const testing_certificates::Authority* shown = nullptr) {
    auto client = shown == nullptr
                      ? httplib::SSLClient("127.0.0.1", server_->http_port())
                      : httplib::SSLClient("127.0.0.1", server_->http_port(),
                                           shown->CertFile("client"),
                                           shown->KeyFile("client"));
    client.set_ca_cert_path(trusted.CaFile().c_str());
    client.enable_server_certificate_verification(true);
    const auto result = client.Get("/v1/model");
    return result ? result->status : 0;
  }

  const testing_certificates::Authority authority_{
      testing_certificates::NewFolder()};
  const testing_certificates::Authority stranger_{
      testing_certificates::NewFolder()};
  ServerOptions options_;
  std::unique_ptr<Server> server_;
};

TEST_F(HttpTlsTest, TlsServerTakesTlsOnly) {
  StartServer();
  EXPECT_EQ(Ask(authority_), 200);
  EXPECT_EQ(Ask(stranger_), 0);
  httplib::Client plain("127.0.0.1", server_->http_port());
  EXPECT_FALSE(plain.Get("/v1/model"));
}

TEST_F(HttpTlsTest, ClientCaLetsInOnlyWhomItSigned) {
  options_.security.tls_client_ca = authority_.CaFile();
  StartServer();
  EXPECT_EQ(Ask(authority_, &authority_), 200);
  EXPECT_EQ(Ask(authority_), 0);
  stranger_.Sign("client");
  EXPECT_EQ(Ask(authority_, &stranger_), 0);
}

TEST_F(HttpTlsTest, AReplacedCertificateIsTakenUpWithoutARestart) {
  StartServer();
  stranger_.Sign("server");
  const auto over = std::filesystem::copy_options::overwrite_existing;
  std::filesystem::copy_file(stranger_.KeyFile("server"),
                             options_.security.tls_key, over);
  std::filesystem::copy_file(stranger_.CertFile("server"),
                             options_.security.tls_cert, over);
  server_->ReloadFiles(/*anyway=*/true);
  EXPECT_EQ(Ask(stranger_), 200);
  EXPECT_EQ(Ask(authority_), 0);
}

TEST(HttpCorsTest, OnlyOriginsThatWereNamedMayCall) {
  ServerOptions options = WithHttp();
  options.http_cors_origins = {"https://app.example"};
  HttpServer running(options);
  auto client = ClientOf(running);
  const auto asked = client->Options(
      "/v1/classify", {{"Origin", "https://app.example"},
                       {"Access-Control-Request-Method", "POST"}});
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->status, 204);
  EXPECT_EQ(asked->get_header_value("Access-Control-Allow-Origin"),
            "https://app.example");
  EXPECT_THAT(asked->get_header_value("Access-Control-Allow-Methods"),
              HasSubstr("POST"));
  const auto other =
      client->Get("/v1/model", {{"Origin", "https://b.example"}});
  ASSERT_TRUE(other);
  EXPECT_FALSE(other->has_header("Access-Control-Allow-Origin"));
  HttpServer closed(WithHttp());
  EXPECT_FALSE(ClientOf(closed)
                   ->Get("/v1/model", {{"Origin", "https://app.example"}})
                   ->has_header("Access-Control-Allow-Origin"));
}

TEST(HttpDrainTest, ARequestInsideIsAnsweredAndItsConnectionClosed) {
  auto running = std::make_unique<HttpServer>(WithHttp());
  const std::string id = running->Build(BuildRequest({"frog", "car"}));
  running->model().CloseGate();
  std::thread call([&] {
    const auto result = ClientOf(*running)->Post(
        "/v1/classify?weight_set_id=" + id, MakePng(20, 20), "image/png");
    Expect(200, result);
    if (result) {
      EXPECT_EQ(result->get_header_value("Connection"), "close");
    }
  });
  ASSERT_TRUE(running->model().WaitForCallsAtGate(1));
  std::thread drain([&] {
    EXPECT_EQ(running->server().Drain(absl::ZeroDuration(), absl::Seconds(60)),
              0);
  });
  absl::SleepFor(absl::Milliseconds(100));
  running->model().OpenGate();
  drain.join();
  call.join();
}

}  // namespace
}  // namespace zeroshot::server
