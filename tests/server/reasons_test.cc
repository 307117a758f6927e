// What the reasons of proto/zeroshot/v1/zeroshot.proto tell beside their names,
// through a real channel and read as a program of the C++ client reads it.
// each_reason_test.cc has all of them.
#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <string>

#include "absl/strings/match.h"
#include "client/client.h"
#include "client/error_info.h"
#include "tests/server/raw_call.h"
#include "tests/server/running_server.h"
#include "tests/testing/make_png.h"

namespace zeroshot::server {
namespace {

using client::ErrorInfoOf;
using client::ReasonOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Pair;
using testing_images::MakePng;

std::unique_ptr<Client> ClientOf(RunningServer& running) {
  client::ClientOptions options;
  options.max_attempts = 1;
  return *Client::Connect(absl::StrCat("127.0.0.1:", running.server().port()),
                          options);
}

// As a status of the client: what FromGrpcStatus makes of it.
absl::Status Seen(const grpc::Status& status) {
  absl::Status seen(static_cast<absl::StatusCode>(status.error_code()),
                    status.error_message());
  seen.SetPayload(client::kErrorDetailsUrl, absl::Cord(status.error_details()));
  return seen;
}

const char kUnknownId[] =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

class ReasonsTest : public ::testing::Test {
 protected:
  void Start(ServerOptions options = {}, bool serve = true) {
    running_ = std::make_unique<RunningServer>(std::move(options), serve);
    client_ = ClientOf(*running_);
    if (serve) id_ = running_->Build(BuildRequest({"cat", "dog"}));
  }

  absl::Status Classify(const std::string& image, const std::string& id) {
    return client_->Classify(image, id).status();
  }

  std::string Field(const absl::Status& status) {
    const auto info = ErrorInfoOf(status);
    EXPECT_TRUE(info.has_value()) << status;
    if (!info.has_value()) return "";
    EXPECT_EQ(info->reason, "INVALID_FIELD") << status;
    EXPECT_EQ(info->domain, "zeroshot");
    const auto field = info->metadata.find("field");
    return field == info->metadata.end() ? "none" : field->second;
  }

  std::unique_ptr<RunningServer> running_;
  std::unique_ptr<Client> client_;
  std::string id_;
};

TEST_F(ReasonsTest, OfImages) {
  ServerOptions options;
  options.embedder.max_image_bytes = 1000;
  options.embedder.decode.max_pixels = 10'000;
  Start(options);
  const std::string png = MakePng(1);
  EXPECT_EQ(ReasonOf(Classify("", id_)), "IMAGE_NOT_SUPPORTED");
  EXPECT_EQ(ReasonOf(Classify("%PDF-1.7", id_)), "IMAGE_NOT_SUPPORTED");
  EXPECT_EQ(ReasonOf(Classify(png.substr(0, png.size() / 2), id_)),
            "IMAGE_DAMAGED");
  EXPECT_EQ(ReasonOf(Classify(png + std::string(1000, 'x'), id_)),
            "IMAGE_TOO_LARGE");
  std::string wide = png;
  wide[18] = 1;  // the third byte of the width: 65,536 pixels more
  EXPECT_EQ(ReasonOf(Classify(wide, id_)), "IMAGE_TOO_LARGE");
}

TEST_F(ReasonsTest, OfItemsAreThoseOfCalls) {
  Start();
  const auto images = client_->EmbedImages({MakePng(1), "%PDF-1.7"});
  ASSERT_TRUE(images.ok()) << images.status();
  EXPECT_TRUE((*images)[0].ok());
  EXPECT_EQ(ReasonOf((*images)[1].status()), "IMAGE_NOT_SUPPORTED");
  std::string long_text = "cat";
  for (int i = 0; i < 80; ++i) long_text += " cat";
  const auto texts = client_->EmbedTexts({"cat", long_text});
  ASSERT_TRUE(texts.ok()) << texts.status();
  const auto info = ErrorInfoOf((*texts)[1].status());
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->reason, "PROMPT_TOO_LONG");
  EXPECT_THAT(info->metadata, Contains(Pair("tokens", "83")));
  EXPECT_THAT(info->metadata, Contains(Pair("max_tokens", "77")));
}

TEST_F(ReasonsTest, OfATransfer) {
  Start();
  Context context;
  v1::ImportWeightSetResponse response;
  const auto writer = running_->stub().ImportWeightSet(&context, &response);
  v1::ImportWeightSetRequest message;
  message.mutable_header()->set_total_bytes(5);
  writer->Write(message);
  message.set_data("abc");
  writer->Write(message);
  writer->WritesDone();
  const auto info = ErrorInfoOf(Seen(writer->Finish()));
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->reason, "TRANSFER_DAMAGED");
  EXPECT_THAT(info->metadata, Contains(Pair("expected", "5")));
  EXPECT_THAT(info->metadata, Contains(Pair("found", "3")));
}

TEST_F(ReasonsTest, OfPrompts) {
  Start();
  std::string long_name = "cat";
  for (int i = 0; i < 80; ++i) long_name += " cat";
  EXPECT_EQ(ReasonOf(client_->Build({.classes = {{long_name}}}).status()),
            "PROMPT_TOO_LONG");
}

TEST_F(ReasonsTest, OfFieldsNameTheField) {
  Start();
  const auto field_of = [this](const client::ClassifierSpec& spec) {
    return Field(client_->Build(spec).status());
  };
  EXPECT_EQ(field_of({}), "classes");
  EXPECT_EQ(field_of({.class_set = "no-such-set"}), "class_set");
  EXPECT_EQ(field_of({.classes = {{"cat"}, {""}}}), "classes[1].name");
  EXPECT_EQ(field_of({.classes = {{"cat", {"a cat", ""}}}}),
            "classes[0].prompts[1]");
  EXPECT_EQ(field_of({.classes = {{"cat"}}, .templates = {"{}", "a"}}),
            "templates[1]");
  EXPECT_EQ(field_of({.classes = {{"cat"}}, .template_set = "none"}),
            "template_set");
  EXPECT_EQ(Field(Classify(MakePng(1), "")), "weight_set_id");
  EXPECT_EQ(
      Field(client_
                ->Classify(MakePng(1), id_,
                           {.top_k = 1'000'000, .return_probabilities = 0})
                .status()),
      "top_k");
  EXPECT_EQ(
      Field(
          client_->EmbedImages(std::vector<std::string>(10'000, "x")).status()),
      "images");
}

// protoc's own classes cannot send such a text: the bytes are the field's.
TEST_F(ReasonsTest, OfATextThatIsNotUtf8NamesTheField) {
  // protobuf's own words for it, on standard error, would flood a log.
  static std::atomic<int> lines;
  lines = 0;
  auto* const before = google::protobuf::SetLogHandler(
      [](google::protobuf::LogLevel, const char*, int, const std::string&) {
        ++lines;
      });
  Start();
  const auto field_of = [this](const std::string& method,
                               const std::string& request) {
    RawCall call(running_->channel(), "/zeroshot.v1.ZeroShot/" + method,
                 request);
    std::string response;
    EXPECT_FALSE(call.Read(&response));
    const grpc::Status status = call.Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    const std::string field = Field(Seen(status));
    EXPECT_THAT(status.error_message(), HasSubstr(field));
    return field;
  };
  // classes { name: "ok" } classes { name: "\xff" }
  EXPECT_EQ(
      field_of("BuildClassifier", "\x0a\x04\x0a\x02ok\x0a\x03\x0a\x01\xff"),
      "classes[1].name");
  // templates: "{}" templates: "\xc3"
  EXPECT_EQ(field_of("BuildClassifier", "\x1a\x02{}\x1a\x01\xc3"),
            "templates[1]");
  // image: "\xff" weight_set_id: "\xff"
  EXPECT_EQ(field_of("Classify", "\x0a\x01\xff\x12\x01\xff"), "weight_set_id");
  EXPECT_EQ(field_of("EmbedTexts", "\x0a\x01\xff"), "texts[0]");
  // classifier { classes { name: "\xff" } }
  EXPECT_EQ(field_of("Classify", "\x42\x05\x0a\x03\x0a\x01\xff"),
            "classifier.classes[0].name");
  // images: "\xff" more_weight_set_ids: "\xff"
  EXPECT_EQ(field_of("ClassifyBatch", "\x0a\x01\xff\x2a\x01\xff"),
            "more_weight_set_ids[0]");
  EXPECT_EQ(lines, 0);
  google::protobuf::SetLogHandler(before);
}

TEST_F(ReasonsTest, OfARequestThatIsNone) {
  Start();
  RawCall call(running_->channel(), "/zeroshot.v1.ZeroShot/Classify",
               "\x0a\x7f");
  std::string response;
  EXPECT_FALSE(call.Read(&response));
  EXPECT_EQ(ReasonOf(Seen(call.Finish())), "INVALID_REQUEST");
}

TEST_F(ReasonsTest, OfWeightSets) {
  Start();
  absl::Status status = Classify(MakePng(1), kUnknownId);
  EXPECT_EQ(ReasonOf(status), "WEIGHT_SET_NOT_FOUND");
  EXPECT_THAT(ErrorInfoOf(status)->metadata,
              Contains(Pair("weight_set_id", kUnknownId)));
  EXPECT_EQ(ReasonOf(client_->GetWeightSet(kUnknownId).status()),
            "WEIGHT_SET_NOT_FOUND");
  EXPECT_EQ(ReasonOf(client_->DeleteWeightSet(kUnknownId)),
            "WEIGHT_SET_NOT_FOUND");
  status = Classify(MakePng(1), absl::StrCat("imported-", kUnknownId));
  EXPECT_EQ(ReasonOf(status), "WEIGHT_SET_NOT_REBUILDABLE");
  EXPECT_EQ(ReasonOf(client_->Import("no file").status()), "INVALID_FILE");
}

// An id that no server ever gave must not make the status too large to send.
TEST_F(ReasonsTest, AreThereForAnIdOfAnyLength) {
  Start();
  const absl::Status status = Classify(MakePng(1), std::string(100'000, 'x'));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(status), "WEIGHT_SET_NOT_FOUND");
}

TEST_F(ReasonsTest, OfAnotherModel) {
  Start();
  std::string file;
  ASSERT_TRUE(client_
                  ->Export(id_, {},
                           [&](absl::string_view piece) {
                             file.append(piece.data(), piece.size());
                             return absl::OkStatus();
                           })
                  .ok());
  const absl::Status status =
      client_->Import(file, {.model_fingerprint = "another"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(status), "WRONG_MODEL");
}

TEST_F(ReasonsTest, OfAnAnswerThatWouldBeTooLarge) {
  ServerOptions options;
  options.max_answer_bytes = 10;
  Start(options);
  EXPECT_EQ(ReasonOf(Classify(MakePng(1), id_)), "INVALID_REQUEST");
}

TEST_F(ReasonsTest, OfASetThatIsTooLarge) {
  ServerOptions options;
  options.memory_store_bytes = 1 << 10;
  Start(options, /*serve=*/false);
  running_->Serve();
  client::ClassifierSpec spec;
  for (int i = 0; i < 100; ++i) spec.classes.push_back({absl::StrCat("c", i)});
  EXPECT_EQ(ReasonOf(client_->Build(spec).status()), "WEIGHT_SET_TOO_LARGE");
}

TEST_F(ReasonsTest, OfAServerThatLoadsOrStops) {
  Start({}, /*serve=*/false);
  absl::Status status = Classify(MakePng(1), kUnknownId);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(status), "LOADING");
  running_->Serve();
  id_ = running_->Build(BuildRequest({"cat"}));
  running_->model().CloseGate();
  auto inside =
      std::async(std::launch::async, [&] { return Classify(MakePng(1), id_); });
  ASSERT_TRUE(running_->model().WaitForCallsAtGate(1));
  auto drained = std::async(std::launch::async, [&] {
    running_->server().Drain(absl::Seconds(0), absl::Seconds(60));
  });
  // A call that came before the drain began is answered or waits at the gate.
  do {
    Context context;
    v1::GetModelResponse response;
    status = Seen(
        running_->stub().GetModel(&context, v1::GetModelRequest(), &response));
  } while (status.ok());
  running_->model().OpenGate();
  EXPECT_EQ(ReasonOf(status), "STOPPING") << status;
  EXPECT_TRUE(inside.get().ok());
  drained.get();
}

TEST_F(ReasonsTest, OfAFullServerAndOfADeadline) {
  ServerOptions options;
  options.max_inflight = 1;
  options.max_builds = 1;
  Start(options);
  running_->model().CloseGate();
  auto inside =
      std::async(std::launch::async, [&] { return Classify(MakePng(1), id_); });
  ASSERT_TRUE(running_->model().WaitForCallsAtGate(1));
  const absl::Status status = Classify(MakePng(2), id_);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(status), "OVERLOADED");
  EXPECT_THAT(ErrorInfoOf(status)->metadata,
              Contains(Pair("cause", "inflight")));
  auto building = std::async(std::launch::async, [&] {
    return client_->Build({.classes = {{"owl"}}}).status();
  });
  ASSERT_TRUE(running_->model().WaitForCallsAtGate(2));
  EXPECT_EQ(ReasonOf(client_->Build({.classes = {{"elk"}}}).status()),
            "TOO_MANY_BUILDS");
  running_->model().OpenGate();
  EXPECT_TRUE(inside.get().ok());
  EXPECT_TRUE(building.get().ok());
}

TEST_F(ReasonsTest, OfDevices) {
  Start();
  running_->model().RunOutOfMemory(true);
  EXPECT_EQ(ReasonOf(Classify(MakePng(1), id_)), "OUT_OF_MEMORY");
  running_->model().RunOutOfMemory(false);
  running_->model().SetImageRows(clip::FakeModel::Rows::kNaN);
  EXPECT_EQ(ReasonOf(Classify(MakePng(2), id_)), "INTERNAL");
}

}  // namespace
}  // namespace zeroshot::server
