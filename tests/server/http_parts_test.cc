// What the HTTP API is made of, each alone: no server, no socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "server/grpc_status.h"
#include "server/http/embeddings.h"
#include "server/http/errors.h"
#include "server/http/forms.h"
#include "server/http/image_text.h"
#include "server/http/json_message.h"
#include "server/http/multipart.h"
#include "server/http/openapi.h"
#include "server/http/pages.h"
#include "server/http/routes.h"
#include "server/http/url.h"
#include "zeroshot/admission.h"

namespace zeroshot::server::http {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using Json = nlohmann::json;

const MostItems kMost = [](const google::protobuf::FieldDescriptor*) {
  return int64_t{3};
};

// --- URLs ---

TEST(HttpUrlTest, ATargetIsAPathAndAQuery) {
  EXPECT_THAT(SplitTarget("/v1/model?a=b?c"), Pair("/v1/model", "a=b?c"));
  EXPECT_THAT(SplitTarget("http://host:1/v1/model"), Pair("/v1/model", ""));
  EXPECT_THAT(SplitTarget("http://host"), Pair("/", ""));
  EXPECT_THAT(SplitTarget("/a://b"), Pair("/a://b", ""));
}

TEST(HttpUrlTest, FieldsAreDecoded) {
  const auto fields = ParseUrlEncoded("a=b+c%2B&d&=e&&a=%C3%A9", 4);
  ASSERT_TRUE(fields.ok()) << fields.status();
  EXPECT_THAT(*fields, ElementsAre(Pair("a", "b c+"), Pair("d", ""),
                                   Pair("", "e"), Pair("a", "\u00e9")));
  EXPECT_FALSE(ParseUrlEncoded("a=b&c=d", 1).ok());
  for (const char* bad : {"%", "%4", "%4g", "a=%"}) {
    EXPECT_FALSE(ParseUrlEncoded(bad, 4).ok()) << bad;
  }
}

// --- routes ---

TEST(HttpRoutesTest, APathIsFoundByItsSegments) {
  const auto match = FindRoute("GET", "/v1/classifiers/a%20b");
  ASSERT_TRUE(match.ok());
  EXPECT_EQ(match->route->kind, Kind::kDescribe);
  EXPECT_EQ(match->argument, "a b");
  EXPECT_EQ(FindRoute("HEAD", "/livez")->route->kind, Kind::kLive);
  EXPECT_EQ(FindRoute("POST", "/v1/classifiers/import")->route->kind,
            Kind::kImport);
  for (const char* path :
       {"", "v1/model", "/v1/model/", "//v1/model", "/V1/model",
        "/v1/classifiers/", "/v1/./model", "/v1/%6dodel"}) {
    EXPECT_EQ(HttpCode(FindRoute("GET", path).status()), 404) << path;
  }
  EXPECT_EQ(HttpCode(FindRoute("PUT", "/v1/classifiers").status()), 405);
  EXPECT_EQ(AllowedMethods("/v1/classifiers"), "POST, GET, HEAD, OPTIONS");
}

// --- multipart ---

struct Read {
  absl::Status status;
  std::vector<std::pair<std::string, std::string>> parts;
};

Read ReadBody(const std::string& body, size_t piece) {
  Read read;
  MultipartReader reader(
      "b", 3,
      {[&](const Part& part) {
         read.parts.emplace_back(
             part.has_filename ? absl::StrCat(part.name, " ", part.filename)
                               : part.name,
             "");
         return absl::OkStatus();
       },
       [&](absl::string_view bytes) {
         read.parts.back().second += std::string(bytes);
         return absl::OkStatus();
       },
       [] { return absl::OkStatus(); }});
  for (size_t at = 0; at < body.size() && read.status.ok(); at += piece) {
    read.status = reader.Feed(body.substr(at, piece));
  }
  if (read.status.ok()) read.status = reader.Finish();
  return read;
}

TEST(MultipartTest, PartsAreReadHoweverTheBodyIsCut) {
  const std::string body =
      "preamble\r\n--b  \r\nContent-Disposition: form-data; name=\"image\"; "
      "filename=\"a \\\"b\\\".png\"\r\nContent-Type: image/png\r\n\r\n\r\n--c"
      "\r\n-\r\r\n--\r\n--b\r\ncontent-disposition: form-data; name=empty\r\n"
      "\r\n\r\n--b--\r\nepilogue";
  for (size_t piece = 1; piece <= body.size(); ++piece) {
    const Read read = ReadBody(body, piece);
    ASSERT_TRUE(read.status.ok()) << read.status << " in pieces of " << piece;
    EXPECT_THAT(read.parts,
                ElementsAre(Pair("image a \"b\".png", "\r\n--c\r\n-\r\r\n--"),
                            Pair("empty", "")));
  }
}

TEST(MultipartTest, DamagedAndEndlessBodiesAreRefused) {
  const std::string part =
      "--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n";
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"", "last boundary"},
      {"no boundary at all", "last boundary"},
      {part, "last boundary"},
      {part + "--b-", "last boundary"},
      {"--b\r\n\r\nx\r\n--b--", "no name"},
      {"--bx\r\n", "followed by"},
      {"--b\r\nNo colon\r\n\r\n", "header"},
      {"--b\r\nContent-Disposition: attachment; name=a\r\n\r\n", "form-data"},
      {"--b\r\nContent-Disposition: form-data; name=a\r\n"
       "Content-Transfer-Encoding: base64\r\n\r\n",
       "as they are"},
      {"--b\r\nX: " + std::string(10'000, 'y'), "8192"},
      {part + part + part + part + "--b--",
       "too many parts; at most 3 are allowed"},
  };
  for (const auto& [body, says] : bad) {
    const Read read = ReadBody(body, 100);
    EXPECT_EQ(read.status.code(), absl::StatusCode::kInvalidArgument) << body;
    EXPECT_THAT(std::string(read.status.message()), HasSubstr(says)) << body;
  }
}

TEST(MultipartTest, TheBoundaryIsInTheContentType) {
  const auto of = [](absl::string_view type) {
    return MultipartReader::BoundaryOf(type).value_or("-");
  };
  EXPECT_EQ(of("multipart/form-data; boundary=abc"), "abc");
  EXPECT_EQ(of("multipart/form-data; charset=x; Boundary=\"a b\""), "a b");
  EXPECT_EQ(of("multipart/form-data"), "-");
  EXPECT_EQ(of("multipart/form-data; boundary="), "-");
  EXPECT_EQ(of("multipart/form-data; boundary=" + std::string(71, 'x')), "-");
}

// --- JSON ---

TEST(HttpJsonTest, MessagesAreWrittenAsPeopleWriteThem) {
  v1::ClassifyResponse message;
  message.add_predictions()->set_probability(0.1F);
  message.mutable_timing()->mutable_total()->set_nanos(69'932);
  std::string text;
  AppendJson(message, &text);
  const Json json = Json::parse(text);
  EXPECT_EQ(text.find("0.10000000149"), text.npos) << text;
  EXPECT_EQ(json["predictions"][0]["accepted"], false);
  EXPECT_EQ(json["predictions"][0]["class_index"], 0);
  EXPECT_DOUBLE_EQ(json["timing"]["total"].get<double>(), 69.932e-6);
  EXPECT_EQ(json["probabilities"], Json::array());
  EXPECT_EQ(json["weight_set_id"], "");
  EXPECT_FALSE(json.contains("build"));
  v1::GetModelResponse model;
  model.set_score_function(v1::SCORE_FUNCTION_SIGMOID);
  model.mutable_limits()->set_max_image_bytes(int64_t{1} << 40);
  text.clear();
  AppendJson(model, &text);
  EXPECT_THAT(text, HasSubstr("\"score_function\": \"sigmoid\""));
  EXPECT_THAT(text, HasSubstr("\"max_image_bytes\": 1099511627776"));
}

absl::Status ReadBuild(const std::string& json,
                       v1::BuildClassifierRequest* request) {
  return JsonMessageReader(json, kMost).Read(request);
}

TEST(HttpJsonTest, ClassesAreNamesOrObjects) {
  v1::BuildClassifierRequest request;
  const absl::Status read = ReadBuild(
      R"({"classes": ["a\u00e9", {"name": "b", "min_probability": 0}],
          "temperature": 2, "display_name": null})",
      &request);
  ASSERT_TRUE(read.ok()) << read;
  EXPECT_EQ(request.classes(0).name(), "a\u00e9");
  EXPECT_EQ(request.classes(1).name(), "b");
  EXPECT_TRUE(request.classes(1).has_min_probability());
  EXPECT_EQ(request.temperature(), 2);
}

TEST(HttpJsonTest, WhatIsNoRequestIsRefused) {
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"", "line 1"},
      {"[]", "object"},
      {"{}x", "end of the body"},
      {"{\"classes\": [", "no JSON"},
      {"{\"classes\": [\"a\" \"b\"]}", "no JSON"},
      {"{\"classes\": {}}", "classes must be a list"},
      {"{\"classes\": [3]}", "classes[0] must be a name"},
      {"{\"classes\": [\"a\", \"b\", \"c\", \"d\"]}", "at most 3 are allowed"},
      {"{\"temperature\": \"hot\"}", "temperature must be a number"},
      {"{\"temperature\": 1e999}", "temperature must be a number"},
      {"{\"class_set\": \"a\", \"class_set\": \"a\"}", "twice"},
      {"{\"clas_set\": 1}", "no field 'clas_set'"},
      {"{\"class_set\": \"\xff\"}", "not UTF-8"},
      {"{\"class_set\": \"\\ud800\"}", "half a character"},
      {std::string(1'000'000, '['), "object"},
  };
  for (const auto& [json, says] : bad) {
    v1::BuildClassifierRequest request;
    const absl::Status read = ReadBuild(json, &request);
    EXPECT_EQ(read.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(read.message()), HasSubstr(says));
  }
}

TEST(HttpJsonTest, WhatIsNestedTooDeepIsRefused) {
  // `user` is a value of any kind.
  const std::string deep = std::string(100'000, '[');
  const auto read = ParseEmbeddings("{\"input\": \"a\", \"user\": " + deep, 3);
  EXPECT_THAT(std::string(read.status().message()),
              HasSubstr("at most 32 levels"));
}

TEST(HttpFormTest, ListsAreWordsLinesOrJson) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> good = {
      {"frog, car", {"frog", "car"}},
      {"frog,,car,", {"frog", "car"}},
      {"frog\na, b\r\n\n", {"frog", "a, b"}},
      {"[\"a, b\", {\"name\": \"c\"}]", {"a, b", "c"}}};
  for (const auto& [text, names] : good) {
    ClassifyForm form(kMost, 3);
    ASSERT_TRUE(form.TakeField("classes", text).ok()) << text;
    std::vector<std::string> found;
    for (const auto& one : form.request().classifier().classes()) {
      found.push_back(one.name());
    }
    EXPECT_EQ(found, names) << text;
  }
}

TEST(HttpFormTest, FieldsOfOtherKindsAndUnknownOnesAreRefused) {
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"top_k", "-1"},
      {"top_k", "4294967296"},
      {"top_k", "3.5"},
      {"return_probabilities", "maybe"},
      {"score_function", "argmax"},
      {"min_probability", "nan"},
      {"classes", "\xff"},
      {"classes", "a,b,c,d"},
      {"embeddings", "1,a"},
      {"embeddings", "1,nan"},
      {"embeddings", "1,2,3,4"},
      {"embeddings", "[[1, 2], [3, 4]]"},
      {"embeddings", "[[[1]]]"},
      {"embeddings", "[\"1\"]"},
      {"classes", "[{\"name\": \"a\", \"example_images\": [\"a b!\"]}]"},
      {"classes", "[{\"name\": \"a\", \"example_images\": \"AAEC\"}]"},
      {"clases", "a"},
      {"classifier", "a"}};
  for (const auto& [name, text] : bad) {
    ClassifyForm form(kMost, 3);
    EXPECT_EQ(form.TakeField(name, text).code(),
              absl::StatusCode::kInvalidArgument)
        << name << "=" << text;
  }
  ClassifyForm form(kMost, 3);
  ASSERT_TRUE(form.TakeField("top_k", "1").ok());
  EXPECT_THAT(std::string(form.TakeField("top_k", "1").message()),
              HasSubstr("twice"));
}

TEST(HttpFormTest, EmbeddingsAreNumbersOrListsOfThem) {
  for (const char* text : {"1, 0.5, -2", "[1, 0.5, -2]", "[[1, 0.5, -2]]",
                           "[[1], [0.5, -2]]", "[[1, 0.5], -2]"}) {
    ClassifyForm form(kMost, 3);
    const absl::Status taken = form.TakeField("embeddings", text);
    ASSERT_TRUE(taken.ok()) << taken;
    EXPECT_THAT(form.request().embeddings(), ElementsAre(1, 0.5f, -2)) << text;
    EXPECT_TRUE(form.is_batch());
    EXPECT_TRUE(form.Check().ok());
  }
}

TEST(HttpFormTest, ExampleImagesAreBase64OrDataUris) {
  ClassifyForm form(kMost, 3);
  const absl::Status taken = form.TakeJson(
      R"({"image": "AAEC", "classes": ["dog", {"name": "cat",
          "example_images": ["AAEC", "data:image/png;base64,AAED"],
          "example_embeddings": [0.5, 1], "example_weight": 0.25}]})");
  ASSERT_TRUE(taken.ok()) << taken;
  const v1::ClassDefinition& cat = form.request().classifier().classes(1);
  EXPECT_THAT(cat.example_images(),
              ElementsAre(std::string("\0\1\2", 3), std::string("\0\1\3", 3)));
  EXPECT_THAT(cat.example_embeddings(), ElementsAre(0.5f, 1));
  EXPECT_EQ(cat.example_weight(), 0.25f);
}

TEST(HttpFormTest, ImagesAreBase64OrDataUris) {
  EXPECT_EQ(*DecodeImageText("AAEC", "image"), std::string("\0\1\2", 3));
  EXPECT_EQ(*DecodeImageText("data:image/png;base64,AAEC", "image"),
            std::string("\0\1\2", 3));
  EXPECT_EQ(*DecodeImageText("_-8", "image"), "\xff\xef");
  for (const char* bad :
       {"data:image/png,AAEC", "data:image/png;base64", "https://a.example/b",
        "file:///etc/passwd", "a b!"}) {
    EXPECT_FALSE(DecodeImageText(bad, "image").ok()) << bad;
  }
}

// --- errors ---

TEST(HttpErrorsTest, EachCodeOfGrpcHasOneOfHttp) {
  const std::vector<std::pair<absl::StatusCode, int>> codes = {
      {absl::StatusCode::kInvalidArgument, 400},
      {absl::StatusCode::kUnauthenticated, 401},
      {absl::StatusCode::kPermissionDenied, 403},
      {absl::StatusCode::kNotFound, 404},
      {absl::StatusCode::kFailedPrecondition, 409},
      {absl::StatusCode::kCancelled, 499},
      {absl::StatusCode::kInternal, 500},
      {absl::StatusCode::kUnknown, 500},
      {absl::StatusCode::kUnavailable, 503},
      {absl::StatusCode::kDeadlineExceeded, 504}};
  for (const auto& [code, http] : codes) {
    EXPECT_EQ(HttpCode(absl::Status(code, "why")), http) << code;
  }
  const absl::Status bad = absl::InvalidArgumentError("why");
  EXPECT_EQ(HttpCode(base::WithReason(bad, base::kImageNotSupported)), 415);
  EXPECT_EQ(HttpCode(base::WithReason(bad, base::kImageTooLarge)), 413);
  absl::Status full = absl::ResourceExhaustedError("full");
  SetRetryDelay(full, absl::Milliseconds(1500));
  full = base::WithReason(full, base::kOverloaded, {{"cause", "inflight"}});
  // As it comes back from a call within the process.
  const Response response =
      ErrorResponse(Request(), FromGrpcStatus(ToGrpcStatus(full)));
  EXPECT_EQ(response.code, 429);
  EXPECT_THAT(response.headers, ElementsAre(Pair("Retry-After", "2")));
  const Json error = Json::parse(response.body)["error"];
  EXPECT_EQ(error["status"], "RESOURCE_EXHAUSTED");
  EXPECT_EQ(error["reason"], "OVERLOADED");
  EXPECT_EQ(error["details"]["cause"], "inflight");
  EXPECT_EQ(error["details"]["retry_delay"], 1.5);
}

// --- description and pages ---

TEST(OpenApiTest, EveryRouteIsDescribedAndEveryReferenceIsThere) {
  const std::string text = OpenApiJson();
  const Json api = Json::parse(text);
  EXPECT_EQ(api["openapi"], "3.1.0");
  for (const Route& route : Routes()) {
    const Json& operation = api["paths"][std::string(route.path)]
                               [route.method == "GET"    ? "get"
                                : route.method == "POST" ? "post"
                                                         : "delete"];
    EXPECT_TRUE(operation.contains("responses")) << route.path;
    if (!route.rpc.empty()) {
      EXPECT_TRUE(operation["responses"].contains("503")) << route.path;
    }
  }
  const Json flat = api.flatten();
  for (const auto& [path, value] : flat.items()) {
    if (path.size() < 5 || path.substr(path.size() - 5) != "/$ref") continue;
    const std::string name = value.get<std::string>().substr(
        std::string("#/components/schemas/").size());
    EXPECT_TRUE(api["components"]["schemas"].contains(name)) << name;
  }
  // The contract's own words.
  EXPECT_THAT(text, HasSubstr("How many predictions to return"));
}

TEST(HttpPagesTest, APolicyNamesWhatThePageHoldsAndNothingElse) {
  const std::string policy =
      PolicyFor("<style>a</style><script>b</script><script>c</script>");
  EXPECT_THAT(policy, HasSubstr("default-src 'none'; script-src 'sha256-"));
  // printf b | openssl sha256 -binary | base64
  EXPECT_THAT(
      policy,
      HasSubstr("'sha256-PiPoFgA5WUoziU9lZOGxNIu9egCI1CxKy3PurtWcAJ0='"));
  EXPECT_THAT(policy, Not(HasSubstr("unsafe")));
  for (const Response& page : {MainPage(), DocsPage()}) {
    EXPECT_THAT(page.body, Not(HasSubstr("src=\"http")));
    EXPECT_THAT(page.body, Not(HasSubstr(" style=\"")));
    EXPECT_THAT(page.body, Not(HasSubstr(" onclick=")));
  }
}

}  // namespace
}  // namespace zeroshot::server::http
