// What callers may do of whom nothing is known: they have no token, or have
// not shown it yet.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "inference/inference.pb.h"
#include "server/health_service.h"
#include "server/methods.h"
#include "tests/server/raw_call.h"
#include "tests/server/running_server.h"
#include "tests/server/with_tokens.h"
#include "tests/testing/make_png.h"
#include "tests/testing/slow_client.h"

namespace zeroshot::server {
namespace {

using ::testing::HasSubstr;

TEST(MethodsTest, AreThoseOfTheContracts) {
  std::set<std::string> ours, contract;
  for (const Method& method : kMethods) ours.insert(method.path);
  for (const google::protobuf::ServiceDescriptor* const service :
       {v1::ClassifyRequest::descriptor()->file()->FindServiceByName(
            "ZeroShot"),
        inference::ModelInferRequest::descriptor()->file()->FindServiceByName(
            "GRPCInferenceService")}) {
    for (int i = 0; i < service->method_count(); ++i) {
      contract.insert(absl::StrCat("/", service->full_name(), "/",
                                   service->method(i)->name()));
    }
  }
  EXPECT_EQ(ours, contract);
}

TEST(StrangersTest, NeedATokenForAllButHealth) {
  RunningServer running(WithTokens());
  std::vector<std::string> paths = {
      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
      "/zeroshot.v1.ZeroShot/NoSuchMethod", "/no.such.Service/Method",
      "/inference.GRPCInferenceService/ModelStreamInfer"};
  for (const Method& method : kMethods) paths.push_back(method.path);
  for (const std::string& path : paths) {
    RawCall call(running.channel(), path, "");
    std::string response;
    EXPECT_FALSE(call.Read(&response)) << path;
    const grpc::Status status = call.Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << path;
    EXPECT_THAT(status.error_message(), HasSubstr("a token is needed")) << path;
  }
  EXPECT_EQ(Health(running.channel(), ""), "SERVING");
  EXPECT_THAT(running.server().status_source().metrics(),
              HasSubstr(R"(zeroshot_calls_total{code="UNAUTHENTICATED",)"
                        R"(method="Classify"} 1)"));
}

TEST(StrangersTest, ATokenWithoutThePermissionIsDenied) {
  RunningServer running(WithTokens());
  const auto ask = [&](const Method& method) {
    Context context;
    context.AddMetadata("authorization", "Bearer shop-token");
    if (method.name() == "GetModel") {
      v1::GetModelResponse response;
      return running.stub().GetModel(&context, {}, &response);
    }
    v1::BuildClassifierResponse response;
    return running.stub().BuildClassifier(&context, {}, &response);
  };
  EXPECT_TRUE(ask(MethodNamed("GetModel")).ok());
  const grpc::Status denied = ask(MethodNamed("BuildClassifier"));
  EXPECT_EQ(denied.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(denied.error_message(), HasSubstr("lacks the permission build"));
}

TEST(StrangersTest, CompressedRequestsAreUnimplemented) {
  RunningServer running;
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    Context context;
    context.set_compression_algorithm(algorithm);
    v1::BuildClassifierRequest request;
    request.add_classes()->set_name(std::string(1'000, 'x'));
    v1::BuildClassifierResponse response;
    const grpc::Status status =
        running.stub().BuildClassifier(&context, request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
    EXPECT_THAT(status.error_message(), HasSubstr("is disabled"));
  }
}

TEST(StrangersTest, HealthIsWatchedByEachConnectionAFewTimes) {
  RunningServer running({}, /*serve=*/false);
  std::vector<std::unique_ptr<RawCall>> watches;
  std::string health;
  const auto watch = [&](const std::shared_ptr<grpc::Channel>& channel,
                         const std::string& request) -> RawCall& {
    watches.push_back(std::make_unique<RawCall>(
        channel, "/grpc.health.v1.Health/Watch", request));
    return *watches.back();
  };
  for (int i = 0; i < HealthService::kMaxCallsOfOne; ++i) {
    ASSERT_TRUE(watch(running.channel(), "").Read(&health));
    EXPECT_EQ(health, "\x08\x02");
  }
  RawCall& refused = watch(running.channel(), "");
  EXPECT_FALSE(refused.Read(&health));
  EXPECT_EQ(refused.Finish().error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  const auto other = ChannelTo(running.server().port());
  ASSERT_TRUE(watch(other, "").Read(&health));
  // Learns of services that are not served, and of changes.
  ASSERT_TRUE(watch(other, "\x0a\x01x").Read(&health));
  EXPECT_EQ(health, "\x08\x03");
  running.Serve();
  ASSERT_TRUE(watches[0]->Read(&health));
  EXPECT_EQ(health, "\x08\x01");
  // A client that ends one may have another.
  watches.clear();
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (!watch(running.channel(), "").Read(&health) &&
         absl::Now() < deadline) {
  }
  EXPECT_EQ(health, "\x08\x01");
}

TEST(StrangersTest, HealthIsAskedInFewBytes) {
  RunningServer running;
  RawCall call(running.channel(), "/grpc.health.v1.Health/Check",
               std::string(1 << 20, '\x0a'));
  std::string response;
  EXPECT_FALSE(call.Read(&response));
  EXPECT_EQ(call.Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(StrangersTest, RequestsOfHealthThatNeverEndHoldNobodyUp) {
  RunningServer running;
  SlowClient client(running.server().port());
  const auto strangers = [&client](int count) {
    for (int i = 0; i < count; ++i) {
      const uint32_t stream = client.Open("/grpc.health.v1.Health/Check");
      client.Send(stream, absl::string_view("\x00\x01\x00\x00\x00x", 6), false);
    }
  };
  strangers(7);
  // They have arrived when two reads are under way: others are not read then.
  // The question itself may have been one of the two when they came: then more
  // of them are needed.
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (Health(running.channel(), "no.such.Service") != "SERVING" &&
         absl::Now() < deadline) {
    strangers(2);
  }
  EXPECT_EQ(Health(running.channel(), ""), "SERVING");
  EXPECT_EQ(Health(running.channel(), "zeroshot.v1.ZeroShot"), "SERVING");
}

TEST(StrangersTest, PingsOfALongCallKeepItsConnection) {
  RunningServer running;
  const std::string id = running.Build(BuildRequest({"cat"}));
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 1'100);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const auto stub = v1::ZeroShot::NewStub(grpc::CreateCustomChannel(
      absl::StrCat("127.0.0.1:", running.server().port()),
      grpc::InsecureChannelCredentials(), arguments));
  running.model().CloseGate();
  std::thread opens([&] {
    EXPECT_TRUE(running.model().WaitForCallsAtGate(1));
    absl::SleepFor(absl::Seconds(6));  // five pings
    running.model().OpenGate();
  });
  Context context;
  v1::ClassifyRequest request;
  request.set_image(testing_images::MakePng(1));
  request.set_weight_set_id(id);
  v1::ClassifyResponse response;
  const grpc::Status status = stub->Classify(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  opens.join();
}

TEST(StrangersTest, AFloodOfPingsClosesItsConnection) {
  RunningServer running;
  SlowClient client(running.server().port());
  const uint32_t stream = client.Begin("Classify", 1'000);
  for (int i = 0; i < 100; ++i) client.Frame(6, 0, 0, std::string(8, 'x'));
  client.WaitForEnd(stream, absl::Seconds(60));
  // The connection ends after its calls.
  client.WaitForEnd(client.Begin("Classify", 1'000), absl::Seconds(60));
  EXPECT_FALSE(client.connected());
}

TEST(StrangersTest, StreamsOfOneConnectionAreBounded) {
  ServerOptions options;
  options.max_streams = options.max_inflight = 10;
  RunningServer running(options);
  SlowClient client(running.server().port());
  // Once it knows the server's settings.
  const uint32_t first = client.Begin("GetModel", 0);
  client.Send(first, "", true);
  ASSERT_TRUE(client.WaitForAnswer(first, absl::Seconds(60)));
  client.Cancel(first);
  for (int i = 0; i < 11; ++i) client.Begin("Classify", 1'000);
  client.WaitForEnd(client.Begin("Classify", 1'000), absl::Seconds(60));
  EXPECT_FALSE(client.connected());
}

// gRPC has 264 threads for default options.
TEST(StrangersTest, ReflectionHoldsNoThreads) {
  RunningServer running;
  std::vector<std::unique_ptr<RawCall>> streams;
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  std::string response;
  for (int i = 0; i < 400; ++i) {
    if (i % 200 == 0) channels.push_back(ChannelTo(running.server().port()));
    streams.push_back(std::make_unique<RawCall>(
        channels.back(),
        i % 2 == 0
            ? "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
            : "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        std::string("\x3a\x00", 2), /*last=*/false));
    ASSERT_TRUE(streams.back()->Read(&response));
    EXPECT_THAT(response, HasSubstr("zeroshot.v1.ZeroShot"));
  }
  Context context;
  v1::GetModelResponse model;
  const grpc::Status status = running.stub().GetModel(&context, {}, &model);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

}  // namespace
}  // namespace zeroshot::server
