// CallOptions, channels handed in, and clients that are faked.
#include "client/call_options.h"

#include <gmock/gmock.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "client/classifier.h"
#include "client/client.h"
#include "tests/client/fake_server.h"
#include "tests/testing/certificates.h"

namespace zeroshot::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

grpc::Status AnswerCat(v1::ClassifyResponse* response) {
  response->add_predictions()->set_class_name("cat");
  return grpc::Status::OK;
}

// The values that the last call sent under `name`.
std::vector<std::string> Sent(const FakeServer& server,
                              const std::string& name) {
  std::vector<std::string> values;
  const auto metadata = server.metadata();
  const auto [begin, end] = metadata.equal_range(name);
  for (auto it = begin; it != end; ++it) values.push_back(it->second);
  return values;
}

TEST(CallOptionsTest, ADeadlineHoldsForItsCallAlone) {
  FakeServer server;
  absl::Notification may_answer;
  std::atomic<int> calls{0};
  server.classify = [&](const auto&, auto* response) {
    if (++calls == 1) may_answer.WaitForNotification();
    return AnswerCat(response);
  };
  const auto client = server.Connect();
  const absl::Time start = absl::Now();
  const auto late = client->Classify(
      "x", "abc", {}, {.deadline = start + absl::Milliseconds(200)});
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.status())) << late.status();
  EXPECT_LT(absl::Now() - start, absl::Seconds(20));
  may_answer.Notify();
  EXPECT_TRUE(client->Classify("x", "abc").ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      client->GetModel({.deadline = absl::InfinitePast()}).status()));
}

TEST(CallOptionsTest, MetadataGoesWithTheCall) {
  FakeServer server;
  server.get_model = [](const auto&, auto*) { return grpc::Status::OK; };
  server.list = [](const auto&, auto*) { return grpc::Status::OK; };
  const auto client = server.Connect();
  const std::string bytes("\0\xff", 2);
  ASSERT_TRUE(client
                  ->GetModel({.metadata = {{"traceparent", "00-1-2-01"},
                                           {"x-twice", "a"},
                                           {"x-twice", "b"},
                                           {"x-bytes-bin", bytes}}})
                  .ok());
  EXPECT_THAT(Sent(server, "traceparent"), ElementsAre("00-1-2-01"));
  EXPECT_THAT(Sent(server, "x-twice"), UnorderedElementsAre("a", "b"));
  EXPECT_THAT(Sent(server, "x-bytes-bin"), ElementsAre(bytes));
  ASSERT_TRUE(client->ListWeightSets().ok());
  EXPECT_THAT(Sent(server, "traceparent"), ElementsAre());
}

// gRPC would end the program.
TEST(CallOptionsTest, MetadataThatCannotBeSentIsRefused) {
  FakeServer server;
  const auto client = server.Connect();
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{
           {"", "a"},
           {"Upper", "a"},
           {"two words", "a"},
           {":path", "a"},
           {"grpc-timeout", "1S"},
           {"authorization", "Bearer secret"},
           {"line", "a\nb"},
           {"umlaut", "\xc3\xa4"}}) {
    const CallOptions call = {.metadata = {{name, value}}};
    const auto status = client->GetModel(call).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << name << ": " << status;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret")));
    EXPECT_TRUE(absl::IsInvalidArgument(client->Health({}, call)));
    EXPECT_TRUE(absl::IsInvalidArgument(client
                                            ->Build(
                                                {}, [](const auto&) {}, call)
                                            .status()));
    EXPECT_TRUE(
        absl::IsInvalidArgument(client->Import("x", {}, call).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(client->Export(
        "x", {}, [](auto) { return absl::OkStatus(); }, call)));
  }
}

TEST(CallOptionsTest, ACancellationEndsItsCallsAndThoseThatBeginLater) {
  FakeServer server;
  absl::Notification called, may_answer;
  server.classify = [&](const auto&, auto* response) {
    if (!called.HasBeenNotified()) called.Notify();
    may_answer.WaitForNotification();
    return AnswerCat(response);
  };
  const auto client = server.Connect();
  Cancellation cancellation;
  std::thread canceller([&] {
    called.WaitForNotification();
    cancellation.Cancel();
  });
  const absl::Time start = absl::Now();
  const auto ended =
      client->Classify("x", "abc", {}, {.cancellation = &cancellation});
  EXPECT_EQ(ended.status(), absl::CancelledError("the call was cancelled"));
  EXPECT_LT(absl::Now() - start, absl::Seconds(30));
  canceller.join();
  EXPECT_EQ(client->GetModel({.cancellation = &cancellation}).status(),
            absl::CancelledError("the call was cancelled"));
  may_answer.Notify();
  EXPECT_TRUE(client->Classify("x", "abc").ok());
}

TEST(CallOptionsTest, ACancellationEndsTheWaitForAFullServer) {
  FakeServer server;
  absl::Notification refused;
  server.classify = [&](const auto&, auto*) {
    if (!refused.HasBeenNotified()) refused.Notify();
    google::protobuf::Duration hour;
    hour.set_seconds(3600);
    // google.rpc.RetryInfo{retry_delay} in a google.rpc.Status' details.
    google::protobuf::Any info;
    info.set_type_url("type.googleapis.com/google.rpc.RetryInfo");
    info.set_value("\x0a" + std::string(1, hour.SerializeAsString().size()) +
                   hour.SerializeAsString());
    v1::ItemStatus status;
    *status.add_details() = info;
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full",
                        status.SerializeAsString());
  };
  const auto client = server.Connect({.timeout = absl::Hours(3)});
  Cancellation cancellation;
  std::thread canceller([&] {
    refused.WaitForNotification();
    absl::SleepFor(absl::Milliseconds(50));
    cancellation.Cancel();
  });
  const auto ended =
      client->Classify("x", "abc", {}, {.cancellation = &cancellation});
  EXPECT_EQ(ended.status(), absl::CancelledError("the call was cancelled"));
  canceller.join();
}

TEST(CallOptionsTest, ATokenOfACallStandsForTheClients) {
  FakeServer server;
  server.get_model = [](const auto&, auto*) { return grpc::Status::OK; };
  const auto client = server.Connect({.token = "all"});
  ASSERT_TRUE(client->GetModel().ok());
  EXPECT_THAT(Sent(server, "authorization"), ElementsAre("Bearer all"));
  ASSERT_TRUE(client->GetModel({.token = "mine"}).ok());
  EXPECT_THAT(Sent(server, "authorization"), ElementsAre("Bearer mine"));
  EXPECT_TRUE(absl::IsInvalidArgument(
      client->GetModel({.token = "two words"}).status()));
  // To another machine in plain text.
  const auto far = *Client::Connect("192.0.2.1:1");
  EXPECT_THAT(std::string(far->GetModel({.token = "mine"}).status().message()),
              HasSubstr("would travel to 192.0.2.1:1 unencrypted"));
}

class TlsTest : public ::testing::Test {
 protected:
  TlsTest() : authority_(testing_certificates::NewFolder()) {
    authority_.Sign("server");
  }

  std::shared_ptr<grpc::ServerCredentials> ServerCredentials() const {
    grpc::SslServerCredentialsOptions options;
    options.pem_key_cert_pairs.push_back(
        {testing_certificates::ReadFile(authority_.KeyFile("server")),
         testing_certificates::ReadFile(authority_.CertFile("server"))});
    return grpc::SslServerCredentials(options);
  }

  std::shared_ptr<grpc::ChannelCredentials> ChannelCredentials() const {
    return grpc::SslCredentials(
        {.pem_root_certs = testing_certificates::ReadFile(authority_.CaFile()),
         .pem_private_key = "",
         .pem_cert_chain = ""});
  }

  const testing_certificates::Authority authority_;
};

TEST_F(TlsTest, ATokenIsCallCredentialsAndSentOnce) {
  FakeServer server(ServerCredentials());
  server.get_model = [](const auto&, auto*) { return grpc::Status::OK; };
  const auto client =
      server.Connect({.credentials = ChannelCredentials(), .token = "all"});
  ASSERT_TRUE(client->GetModel().ok());
  EXPECT_THAT(Sent(server, "authorization"), ElementsAre("Bearer all"));
  ASSERT_TRUE(client->GetModel({.token = "mine"}).ok());
  EXPECT_THAT(Sent(server, "authorization"), ElementsAre("Bearer mine"));
}

TEST_F(TlsTest, AChannelHandedInCarriesATokenIfItEncrypts) {
  FakeServer server(ServerCredentials());
  server.get_model = [](const auto&, auto*) { return grpc::Status::OK; };
  const auto client =
      *Client::Over(grpc::CreateChannel(server.target(), ChannelCredentials()),
                    {.token = "all"});
  const auto model = client->GetModel();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT(Sent(server, "authorization"), ElementsAre("Bearer all"));
  EXPECT_TRUE(client->Health().ok());
}

TEST(ChannelTest, OneHandedInIsSharedAndCarriesNoTokenInPlainTextUnlessTold) {
  FakeServer server;
  server.get_model = [](const auto&, auto*) { return grpc::Status::OK; };
  const auto channel =
      grpc::CreateChannel(server.target(), grpc::InsecureChannelCredentials());
  const auto plain = *Client::Over(channel);
  ASSERT_TRUE(plain->GetModel().ok());
  EXPECT_THAT(Sent(server, "authorization"), ElementsAre());

  const auto refused = *Client::Over(channel, {.token = "secret"});
  EXPECT_TRUE(absl::IsUnauthenticated(refused->GetModel().status()))
      << refused->GetModel().status();
  EXPECT_THAT(Sent(server, "authorization"), ElementsAre());

  const auto told =
      *Client::Over(channel, {.token = "secret", .token_without_tls = true});
  ASSERT_TRUE(told->GetModel().ok());
  EXPECT_THAT(Sent(server, "authorization"), ElementsAre("Bearer secret"));
}

TEST(ChannelTest, WhatIsTheChannelsOwnIsRefused) {
  const auto channel =
      grpc::CreateChannel("localhost:1", grpc::InsecureChannelCredentials());
  EXPECT_TRUE(absl::IsInvalidArgument(Client::Over(nullptr).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      Client::Over(channel, {.watch_health = true}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      Client::Over(channel, {.credentials = grpc::SslCredentials({})})
          .status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      Client::Over(channel, {.max_attempts = 0}).status()));
}

// A client as a program's own test fakes it.
class FakeClient : public ClientInterface {
 public:
  absl::StatusOr<BuildResult> Build(const ClassifierSpec& spec,
                                    const OnBuildProgress&,
                                    const CallOptions& call) override {
    const std::lock_guard<std::mutex> lock(mu);
    build_calls.push_back(call);
    BuildResult built;
    known = spec.classes[0].name;
    built.set_weight_set_id(known);
    return built;
  }

  absl::StatusOr<Answer> Classify(absl::string_view image,
                                  absl::string_view weight_set_id,
                                  const ClassifyOptions&,
                                  const CallOptions& call) override {
    const std::lock_guard<std::mutex> lock(mu);
    last_deadline = call.deadline;
    if (weight_set_id != known) return absl::NotFoundError("forgotten");
    Answer answer;
    answer.predictions.emplace_back();
    answer.predictions[0].class_name = std::string(image);
    return answer;
  }

  absl::Duration timeout() const override { return absl::Hours(5); }

  std::mutex mu;  // a Classifier builds again on a thread of its own
  std::string known;
  std::vector<CallOptions> build_calls;
  std::optional<absl::Time> last_deadline;
};

TEST(FakeClientTest, AClassifierWorksWithIt) {
  FakeClient client;
  Cancellation unused;
  const auto classifier =
      Classifier::Build(&client, {.classes = {{"cat"}}}, {},
                        {.deadline = absl::Now() + absl::Hours(1),
                         .metadata = {{"x-team", "pets"}},
                         .cancellation = &unused});
  ASSERT_TRUE(classifier.ok()) << classifier.status();
  ASSERT_TRUE((*classifier)->Classify("cat").ok());
  EXPECT_GT(*client.last_deadline, absl::Now() + absl::Hours(4));
  client.known.clear();
  const auto answer = (*classifier)->Classify("dog");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->predictions[0].class_name, "dog");
  // Built again with the metadata, and without what was the first call's.
  ASSERT_EQ(client.build_calls.size(), 2);
  EXPECT_THAT(client.build_calls[1].metadata,
              ElementsAre(Pair("x-team", "pets")));
  EXPECT_FALSE(client.build_calls[1].deadline.has_value());
  EXPECT_NE(client.build_calls[1].cancellation, &unused);
}

TEST(FakeClientTest, WhatItDoesNotOverrideIsUnimplemented) {
  FakeClient client;
  EXPECT_TRUE(absl::IsUnimplemented(client.GetModel().status()));
  EXPECT_TRUE(absl::IsUnimplemented(client.Health()));
  EXPECT_TRUE(absl::IsUnimplemented(client.ClassifyWithEach("x", {}).status()));
}

TEST(FakeClientTest, ACancelledCallDoesNotWaitForARebuild) {
  // Forgets the set, and builds it again when it may.
  class SlowClient : public FakeClient {
   public:
    absl::StatusOr<BuildResult> Build(const ClassifierSpec& spec,
                                      const OnBuildProgress& on_progress,
                                      const CallOptions& call) override {
      if (!build_calls.empty()) {
        rebuilding.Notify();
        may_build.WaitForNotification();
      }
      return FakeClient::Build(spec, on_progress, call);
    }
    absl::Notification rebuilding, may_build;
  };
  SlowClient client;
  auto classifier = *Classifier::Build(&client, {.classes = {{"cat"}}});
  client.known.clear();
  Cancellation cancellation;
  std::thread canceller([&] {
    client.rebuilding.WaitForNotification();
    cancellation.Cancel();
  });
  EXPECT_EQ(
      classifier->Classify("cat", {}, {.cancellation = &cancellation}).status(),
      absl::CancelledError("the call was cancelled"));
  canceller.join();
  client.may_build.Notify();
  // The build went on.
  EXPECT_TRUE(classifier->Classify("cat").ok());
  classifier.reset();
}

}  // namespace
}  // namespace zeroshot::client
