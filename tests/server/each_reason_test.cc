// The table of reasons in proto/zeroshot/v1/zeroshot.proto: each of them comes
// about through a real channel here, so that a reason which is added without a
// way to it, or has none any more, is noticed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <future>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "client/error_info.h"
#include "client/grpc_status.h"
#include "inference/inference.grpc.pb.h"
#include "tests/server/raw_call.h"
#include "tests/server/running_server.h"
#include "tests/server/with_tokens.h"
#include "tests/testing/make_png.h"

namespace zeroshot::server {
namespace {

using client::FromGrpcStatus;
using testing_images::MakePng;

const char kUnknownId[] =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

// A server, what a test needs to vex it, and a weight set.
class Vexed {
 public:
  explicit Vexed(const ServerOptions& options = {}, bool serve = true)
      : running_(options, serve) {
    client::ClientOptions once;
    once.max_attempts = 1;
    once.token = options.security.auth_tokens.empty() ? "" : "shop-token";
    client_ = *Client::Connect(
        absl::StrCat("127.0.0.1:", running_.server().port()), once);
    if (!serve || !options.security.auth_tokens.empty()) return;
    id_ = running_.Build(BuildRequest({"cat", "dog"}));
  }

  RunningServer* operator->() { return &running_; }
  Client& client() { return *client_; }
  const std::string& id() const { return id_; }

  absl::Status Classify(const std::string& image, const std::string& id) {
    return client_->Classify(image, id).status();
  }
  absl::Status Classify(const std::string& image = MakePng(1)) {
    return Classify(image, id_);
  }
  absl::Status Build(const std::string& name) {
    return client_->Build({.classes = {{name}}}).status();
  }

  // A call that waits at the model's gate.
  std::future<absl::Status> AtGate() {
    running_.model().CloseGate();
    auto call = std::async(std::launch::async, [this] { return Classify(); });
    EXPECT_TRUE(running_.model().WaitForCallsAtGate(1));
    return call;
  }

  bool Counts(const std::string& line) {
    return absl::StrContains(running_.server().status_source().metrics(), line);
  }

 private:
  RunningServer running_;
  std::unique_ptr<Client> client_;
  std::string id_;
};

absl::Status DeadlineTooShort() {
  ServerOptions options;
  options.embedder.max_batch = 1;
  Vexed server(options);
  // It learns that a batch takes a second.
  auto slow = server.AtGate();
  absl::SleepFor(absl::Seconds(1));
  server->model().OpenGate();
  EXPECT_TRUE(slow.get().ok());
  server->model().CloseGate();
  std::vector<std::future<absl::Status>> inside;
  for (int i = 0; i < 8; ++i) {
    inside.push_back(
        std::async(std::launch::async, [&] { return server.Classify(); }));
  }
  while (!server.Counts("zeroshot_pending_images 8\n")) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  v1::ClassifyRequest request;
  request.set_image(MakePng(1));
  request.set_weight_set_id(server.id());
  v1::ClassifyResponse response;
  const grpc::Status status =
      server->Classify(request, &response, absl::Seconds(1));
  server->model().OpenGate();
  for (auto& call : inside) EXPECT_TRUE(call.get().ok());
  return FromGrpcStatus(status);
}

// It sends, but hardly anything: nothing that waits for its next message would
// notice.
absl::Status ClientTooSlow() {
  ServerOptions options;
  options.client_patience = absl::Seconds(1);
  options.min_transfer_rate = int64_t{1} << 40;
  Vexed server(options);
  Context context;
  v1::ImportWeightSetResponse response;
  const auto writer = server->stub().ImportWeightSet(&context, &response);
  v1::ImportWeightSetRequest piece;
  piece.mutable_header();
  writer->Write(piece);
  piece.set_data("x");
  while (writer->Write(piece)) absl::SleepFor(absl::Milliseconds(50));
  return FromGrpcStatus(writer->Finish());
}

absl::Status TransferDamaged() {
  Vexed server;
  Context context;
  v1::ImportWeightSetResponse response;
  const auto writer = server->stub().ImportWeightSet(&context, &response);
  v1::ImportWeightSetRequest piece;
  piece.mutable_header()->set_total_bytes(2);
  writer->Write(piece);
  piece.set_data("x");
  writer->Write(piece);
  writer->WritesDone();
  return FromGrpcStatus(writer->Finish());
}

// What a caller gets whose call ends while it waits behind another one. The
// server's own word for it reaches nobody but those who watch it, who see
// `code` counted; a server that hears of the end too late answers, and another
// call is made.
absl::Status EndedInTheQueue(
    const std::string& code,
    const std::function<grpc::Status(Vexed&, const v1::ClassifyRequest&)>&
        call) {
  Vexed server;
  v1::ClassifyRequest request;
  request.set_image(MakePng(1));
  request.set_weight_set_id(server.id());
  grpc::Status status;
  do {
    auto before = server.AtGate();
    status = call(server, request);
    absl::SleepFor(absl::Milliseconds(20));  // the server hears of it
    server->model().OpenGate();
    EXPECT_TRUE(before.get().ok());
    while (!server.Counts("zeroshot_inflight_calls 0\n")) {
      absl::SleepFor(absl::Milliseconds(1));
    }
  } while (!server.Counts(
      absl::StrCat("zeroshot_calls_total{code=\"", code, "\",")));
  return FromGrpcStatus(status);
}

absl::Status Cancelled() {
  return EndedInTheQueue(
      "CANCELLED", [](Vexed& server, const v1::ClassifyRequest& request) {
        Context context;
        v1::ClassifyResponse response;
        auto call = std::async(std::launch::async, [&] {
          return server->stub().Classify(&context, request, &response);
        });
        while (!server.Counts("zeroshot_pending_images 2\n")) {
          absl::SleepFor(absl::Milliseconds(1));
        }
        context.TryCancel();
        return call.get();
      });
}

absl::Status DeadlineExceeded() {
  return EndedInTheQueue("DEADLINE_EXCEEDED",
                         [](Vexed& server, const v1::ClassifyRequest& request) {
                           v1::ClassifyResponse response;
                           return server->Classify(request, &response,
                                                   absl::Milliseconds(200));
                         });
}

absl::Status Stopping() {
  Vexed server;
  auto inside = server.AtGate();
  auto drained = std::async(std::launch::async, [&] {
    server->server().Drain(absl::Seconds(0), absl::Seconds(60));
  });
  absl::Status status;
  // A call that came before the drain began is answered.
  do {
    status = server.client().GetModel().status();
  } while (status.ok());
  server->model().OpenGate();
  EXPECT_TRUE(inside.get().ok());
  drained.get();
  return status;
}

// How each reason comes about, and what its caller sees.
const std::map<std::string, std::function<absl::Status()>>& Provocations() {
  static const auto* const all =
      new std::map<std::string, std::function<absl::Status()>>{
          {"INVALID_FIELD", [] { return Vexed().Classify(MakePng(1), ""); }},
          {"INVALID_REQUEST",
           [] {
             Vexed server;
             RawCall call(server->channel(), "/zeroshot.v1.ZeroShot/Classify",
                          "\x0a\x7f");
             std::string response;
             EXPECT_FALSE(call.Read(&response));
             return FromGrpcStatus(call.Finish());
           }},
          {"INVALID_FILE",
           [] { return Vexed().client().Import("no file").status(); }},
          {"IMAGE_NOT_SUPPORTED", [] { return Vexed().Classify("%PDF-1.7"); }},
          {"IMAGE_DAMAGED",
           [] {
             const std::string png = MakePng(1);
             return Vexed().Classify(png.substr(0, png.size() / 2));
           }},
          {"IMAGE_TOO_LARGE",
           [] {
             ServerOptions options;
             options.embedder.max_image_bytes = 10;
             return Vexed(options).Classify();
           }},
          {"PROMPT_TOO_LONG",
           [] {
             std::string name = "cat";
             for (int i = 0; i < 80; ++i) name += " cat";
             return Vexed().Build(name);
           }},
          {"WEIGHT_SET_NOT_FOUND",
           [] { return Vexed().Classify(MakePng(1), kUnknownId); }},
          {"WEIGHT_SET_NOT_REBUILDABLE",
           [] {
             return Vexed().Classify(MakePng(1),
                                     absl::StrCat("imported-", kUnknownId));
           }},
          {"WRONG_MODEL",
           [] {
             Vexed server;
             std::string file;
             const auto take = [&](absl::string_view piece) {
               file.append(piece.data(), piece.size());
               return absl::OkStatus();
             };
             EXPECT_TRUE(server.client().Export(server.id(), {}, take).ok());
             return server.client()
                 .Import(file, {.model_fingerprint = "another"})
                 .status();
           }},
          {"OVERLOADED",
           [] {
             ServerOptions options;
             options.max_inflight = 1;
             Vexed server(options);
             auto inside = server.AtGate();
             const absl::Status status = server.Classify();
             server->model().OpenGate();
             EXPECT_TRUE(inside.get().ok());
             return status;
           }},
          {"TOO_MANY_BUILDS",
           [] {
             ServerOptions options;
             options.max_builds = 1;
             Vexed server(options);
             server->model().CloseGate();
             auto inside = std::async(std::launch::async,
                                      [&] { return server.Build("owl"); });
             EXPECT_TRUE(server->model().WaitForCallsAtGate(1));
             const absl::Status status = server.Build("elk");
             server->model().OpenGate();
             EXPECT_TRUE(inside.get().ok());
             return status;
           }},
          {"DEADLINE_TOO_SHORT", DeadlineTooShort},
          {"OUT_OF_MEMORY",
           [] {
             Vexed server;
             server->model().RunOutOfMemory(true);
             return server.Classify();
           }},
          {"WEIGHT_SET_TOO_LARGE",
           [] {
             ServerOptions options;
             options.memory_store_bytes = 2 << 10;
             Vexed server(options);
             client::ClassifierSpec spec;
             for (int i = 0; i < 100; ++i) {
               spec.classes.push_back({absl::StrCat("c", i)});
             }
             return server.client().Build(spec).status();
           }},
          {"MODEL_NOT_FOUND",
           [] {
             Vexed server;
             const auto stub =
                 inference::GRPCInferenceService::NewStub(server->channel());
             Context context;
             inference::ModelMetadataRequest request;
             request.set_name("nobody");
             inference::ModelMetadataResponse response;
             return FromGrpcStatus(
                 stub->ModelMetadata(&context, request, &response));
           }},
          {"CLIENT_TOO_SLOW", ClientTooSlow},
          {"TRANSFER_DAMAGED", TransferDamaged},
          {"LOADING",
           [] {
             return Vexed({}, /*serve=*/false).Classify(MakePng(1), kUnknownId);
           }},
          {"STOPPING", Stopping},
          {"UNAVAILABLE",
           [] {
             Vexed server;
             server->model().LoseDevice();
             return server.Classify();
           }},
          {"DEADLINE_EXCEEDED", DeadlineExceeded},
          {"CANCELLED", Cancelled},
          {"PERMISSION_DENIED",
           [] { return Vexed(WithTokens()).Build("owl"); }},
          {"UNAUTHENTICATED",
           [] {
             Vexed server(WithTokens());
             Context context;
             v1::GetModelResponse response;
             return FromGrpcStatus(
                 server->stub().GetModel(&context, {}, &response));
           }},
          {"INTERNAL",
           [] {
             Vexed server;
             server->model().SetImageRows(clip::FakeModel::Rows::kNaN);
             return server.Classify();
           }},
      };
  return *all;
}

// The words of that shape in a file of the project.
std::set<std::string> WordsOf(const std::string& path, const char* pattern) {
  std::ifstream file(absl::StrCat(ZEROSHOT_SOURCE_DIR, "/", path));
  const std::regex shape(pattern);
  std::set<std::string> words;
  std::string line;
  std::smatch match;
  while (std::getline(file, line)) {
    if (std::regex_search(line, match, shape)) words.insert(match[1]);
  }
  return words;
}

TEST(ReasonTableTest, IsTheSameInContractCodeAndTests) {
  const std::set<std::string> contract = WordsOf(
      "proto/zeroshot/v1/zeroshot.proto", "^//   ([A-Z]+(_[A-Z]+)*) +[^ ]");
  const std::set<std::string> code =
      WordsOf("base/error_info.h",
              "^inline constexpr char k.*\\[\\] = \"([A-Z_]+)\";$");
  std::set<std::string> tests;
  for (const auto& provocation : Provocations()) {
    tests.insert(provocation.first);
  }
  EXPECT_EQ(contract, code);
  EXPECT_EQ(tests, code);
}

// gRPC makes these itself and sends no details; their code is their reason.
bool IsOfGrpc(const std::string& reason) { return reason == "UNAUTHENTICATED"; }

// gRPC makes these in the caller's process. The server makes them too, with
// details; the answer that is there first is the one that counts.
bool IsOfEither(const std::string& reason) {
  return reason == "CANCELLED" || reason == "DEADLINE_EXCEEDED";
}

class EachReasonTest : public ::testing::TestWithParam<std::string> {};

TEST_P(EachReasonTest, ReachesItsCaller) {
  const absl::Status status = Provocations().at(GetParam())();
  EXPECT_EQ(client::ReasonOf(status), GetParam()) << status;
  const auto info = client::ErrorInfoOf(status);
  if (!IsOfEither(GetParam())) {
    EXPECT_EQ(info.has_value(), !IsOfGrpc(GetParam())) << status;
  }
  if (!info.has_value()) return;
  EXPECT_EQ(info->reason, GetParam());
  EXPECT_EQ(info->domain, "zeroshot");
}

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const auto& provocation : Provocations()) {
    names.push_back(provocation.first);
  }
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, EachReasonTest, ::testing::ValuesIn(Names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace zeroshot::server
