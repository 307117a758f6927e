// The server around the service: port, health, reflection, loading, draining.
#include "server/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <string>
#include <vector>

#include "tests/server/raw_call.h"
#include "tests/server/running_server.h"
#include "tests/testing/make_png.h"

namespace zeroshot::server {
namespace {

using ::testing::HasSubstr;
using testing_images::MakePng;

constexpr char kService[] = "zeroshot.v1.ZeroShot";

grpc::Status GetModel(const std::shared_ptr<grpc::Channel>& channel) {
  Context context;
  v1::GetModelResponse response;
  return v1::ZeroShot::NewStub(channel)->GetModel(&context, {}, &response);
}

TEST(ServerTest, PortZeroTakesAFreePort) {
  RunningServer first, second;
  EXPECT_GT(first.server().port(), 0);
  EXPECT_NE(first.server().port(), second.server().port());
}

TEST(ServerTest, PortInUseIsAClearError) {
  RunningServer running;
  ServerOptions options;
  options.listen = absl::StrCat("127.0.0.1:", running.server().port());
  const auto second = Server::Start(options);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              AllOf(HasSubstr(options.listen), HasSubstr("in use")));
}

TEST(ServerTest, UnusableAddressIsAClearError) {
  ServerOptions options;
  options.listen = "192.0.2.1:0";  // TEST-NET-1: nobody's
  EXPECT_EQ(Server::Start(options).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST(ServerTest, CallsAreUnavailableUntilTheModelIsThere) {
  RunningServer running({}, /*serve=*/false);
  EXPECT_EQ(Health(running.channel(), ""), "NOT_SERVING");
  EXPECT_EQ(Health(running.channel(), kService), "NOT_SERVING");
  const grpc::Status status = GetModel(running.channel());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("loading"));

  running.Serve();
  EXPECT_EQ(Health(running.channel(), ""), "SERVING");
  EXPECT_EQ(Health(running.channel(), kService), "SERVING");
  EXPECT_TRUE(GetModel(running.channel()).ok());
}

TEST(ServerTest, SaysWhenToAskAgainWhileItLoads) {
  RunningServer running({}, /*serve=*/false);
  Context context;
  v1::GetModelResponse response;
  const grpc::Status status =
      running.stub().GetModel(&context, v1::GetModelRequest(), &response);
  EXPECT_THAT(status.error_details(), HasSubstr("google.rpc.RetryInfo"));
  EXPECT_GE(RetryPushback(context), absl::Seconds(1));
  EXPECT_LE(RetryPushback(context), absl::Seconds(15));
}

// Its own pauses of a millisecond would be over long before the load is.
TEST(ServerTest, AGrpcClientWaitsForTheLoadAsItIsTold) {
  RunningServer running({}, /*serve=*/false);
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(R"({"methodConfig": [{
      "name": [{"service": "zeroshot.v1.ZeroShot"}],
      "retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.001s",
                      "maxBackoff": "0.001s", "backoffMultiplier": 1,
                      "retryableStatusCodes": ["UNAVAILABLE"]}}]})");
  const auto channel = grpc::CreateCustomChannel(
      absl::StrCat("127.0.0.1:", running.server().port()),
      grpc::InsecureChannelCredentials(), arguments);
  const absl::Time start = absl::Now();
  auto call = std::async(std::launch::async, [&] { return GetModel(channel); });
  while (running.server().status_source().metrics().find(
             "code=\"UNAVAILABLE\"") == std::string::npos) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  running.Serve();
  const grpc::Status status = call.get();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(950));
}

TEST(ServerTest, ReadyAndMetricsFollowTheModelAndTheDrain) {
  RunningServer running({}, /*serve=*/false);
  const StatusSource source = running.server().status_source();
  EXPECT_TRUE(source.live().ok());
  EXPECT_THAT(std::string(source.ready().message()), HasSubstr("loading"));
  running.Serve();
  EXPECT_TRUE(source.ready().ok());
  const std::string id = running.Build(BuildRequest({"cat", "dog"}));
  v1::ClassifyRequest request;
  request.set_weight_set_id(id);
  request.set_image(MakePng(1));
  v1::ClassifyResponse response;
  EXPECT_TRUE(running.Classify(request, &response).ok());
  const std::string metrics = source.metrics();
  for (const char* line :
       {R"(zeroshot_calls_total{code="OK",method="Classify"} 1)",
        R"(zeroshot_calls_total{code="OK",method="BuildClassifier"} 1)",
        R"(zeroshot_builds_total{result="built"} 1)",
        "zeroshot_batch_images_count 2\n",  // the canary was one
        R"(zeroshot_stage_seconds_count{stage="compute"} 1)",
        R"(zeroshot_store_weight_sets{tier="memory"} 1)",
        "zeroshot_ready 1\n"}) {
    EXPECT_THAT(metrics, HasSubstr(line));
  }
  running.server().Drain(absl::ZeroDuration(), absl::Seconds(5));
  EXPECT_TRUE(source.live().ok());
  EXPECT_THAT(std::string(source.ready().message()), HasSubstr("stopping"));
}

TEST(ServerTest, AnswersCarryTheRequestId) {
  RunningServer running;
  Context context;
  context.AddMetadata("x-request-id", "mine-1");
  v1::GetModelResponse response;
  ASSERT_TRUE(running.stub().GetModel(&context, {}, &response).ok());
  const auto& metadata = context.GetServerTrailingMetadata();
  const auto id = metadata.find("x-request-id");
  ASSERT_NE(id, metadata.end());
  EXPECT_EQ(id->second, "mine-1");
}

TEST(ServerTest, HealthOfAnUnknownServiceIsNotFound) {
  RunningServer running;
  EXPECT_EQ(Health(running.channel(), "no.such.Service"), "code 5");
}

TEST(ServerTest, ReflectionListsTheServices) {
  RunningServer running;
  // ServerReflectionRequest { list_services: "" }
  RawCall call(running.channel(),
               "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
               std::string("\x3a\x00", 2));
  std::string response;
  ASSERT_TRUE(call.Read(&response));
  EXPECT_THAT(response, HasSubstr(kService));
  EXPECT_THAT(response, HasSubstr("grpc.health.v1.Health"));
}

TEST(ServerTest, RequestOverTheSizeLimitIsRefusedByGrpc) {
  ServerOptions options;
  options.max_request_bytes = 10'000;
  RunningServer running(options);
  v1::ClassifyRequest request;
  request.set_image(std::string(20'000, 'x'));
  v1::ClassifyResponse response;
  EXPECT_EQ(running.Classify(request, &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

// gRPC refuses calls by itself, without a retry delay, when it has no thread
// left: admission must be reached first.
TEST(ServerTest, AdmissionAnswersBeforeGrpcRunsOutOfThreads) {
  ServerOptions options;
  options.max_inflight = 4;
  options.max_builds = 1;
  RunningServer running(options);
  const std::string id = running.Build(BuildRequest({"cat"}));
  running.model().CloseGate();
  std::vector<std::future<grpc::Status>> calls;
  for (uint32_t seed = 0; seed < 40; ++seed) {
    calls.push_back(std::async(std::launch::async, [&running, &id, seed] {
      v1::ClassifyRequest request;
      request.set_image(MakePng(seed));
      request.set_weight_set_id(id);
      v1::ClassifyResponse response;
      return running.Classify(request, &response);
    }));
  }
  ASSERT_TRUE(running.model().WaitForCallsAtGate(1));
  absl::SleepFor(absl::Milliseconds(300));  // let all of them arrive
  running.model().OpenGate();
  int answered = 0;
  for (auto& call : calls) {
    const grpc::Status status = call.get();
    answered += status.ok();
    if (status.ok()) continue;
    EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_THAT(status.error_details(), HasSubstr("RetryInfo"));
  }
  EXPECT_GE(answered, 4);
}

TEST(ServerTest, DrainFinishesCallsInsideAndRefusesNewOnes) {
  RunningServer running;
  const std::string id = running.Build(BuildRequest({"cat"}));
  running.model().CloseGate();
  v1::ClassifyResponse response;
  auto inside = std::async(std::launch::async, [&] {
    v1::ClassifyRequest request;
    request.set_image(MakePng(1));
    request.set_weight_set_id(id);
    return running.Classify(request, &response);
  });
  ASSERT_TRUE(running.model().WaitForCallsAtGate(1));
  auto drain = std::async(std::launch::async, [&] {
    return running.server().Drain(absl::ZeroDuration(), absl::Seconds(30));
  });
  grpc::Status refused = GetModel(running.channel());
  while (refused.ok()) refused = GetModel(running.channel());
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(refused.error_message(), HasSubstr("stopping"));
  EXPECT_EQ(Health(running.channel(), ""), "NOT_SERVING");
  EXPECT_EQ(Health(running.channel(), kService), "NOT_SERVING");

  running.model().OpenGate();
  EXPECT_EQ(drain.get(), 0);
  EXPECT_TRUE(inside.get().ok());
  EXPECT_EQ(response.predictions_size(), 1);
}

TEST(ServerTest, DrainCutsOffCallsThatOutlastTheTimeout) {
  RunningServer running;
  const std::string id = running.Build(BuildRequest({"cat"}));
  running.model().CloseGate();
  auto call = std::async(std::launch::async, [&] {
    v1::ClassifyRequest request;
    request.set_image(MakePng(1));
    request.set_weight_set_id(id);
    v1::ClassifyResponse response;
    return running.Classify(request, &response);
  });
  ASSERT_TRUE(running.model().WaitForCallsAtGate(1));
  auto drain = std::async(std::launch::async, [&] {
    return running.server().Drain(absl::ZeroDuration(), absl::Milliseconds(50));
  });
  EXPECT_FALSE(call.get().ok());
  running.model().OpenGate();  // no one may leave the device in the middle
  EXPECT_EQ(drain.get(), 1);
}

TEST(ServerTest, DrainEndsBuildsAndThoseWhoWaitForThem) {
  RunningServer running;
  running.model().CloseGate();
  const auto build = [&] {
    Context context;
    v1::BuildClassifierResponse response;
    return running.stub().BuildClassifier(&context, BuildRequest({"cat"}),
                                          &response);
  };
  auto first = std::async(std::launch::async, build);
  ASSERT_TRUE(running.model().WaitForCallsAtGate(1));
  auto second = std::async(std::launch::async, build);
  absl::SleepFor(absl::Milliseconds(100));
  EXPECT_EQ(running.server().Drain(absl::ZeroDuration(), absl::Seconds(30)), 0);
  for (const grpc::Status& status : {first.get(), second.get()}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_THAT(status.error_message(), HasSubstr("stopping"));
  }
  running.model().OpenGate();
}

TEST(ServerTest, DrainTakesCallsDuringItsGrace) {
  RunningServer running;
  auto drain = std::async(std::launch::async, [&] {
    return running.server().Drain(absl::Seconds(1), absl::Seconds(30));
  });
  const StatusSource source = running.server().status_source();
  while (source.ready().ok()) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_EQ(Health(running.channel(), kService), "NOT_SERVING");
  EXPECT_THAT(std::string(source.ready().message()), HasSubstr("stopping"));
  EXPECT_TRUE(source.live().ok());
  EXPECT_TRUE(GetModel(running.channel()).ok());
  EXPECT_EQ(drain.get(), 0);
}

TEST(ServerTest, HealthFollowsTheWatchdog) {
  ServerOptions options;
  options.watchdog_timeout = absl::Milliseconds(200);
  RunningServer running(options);
  const auto wait_for = [&](const std::string& health) {
    const absl::Time until = absl::Now() + absl::Seconds(20);
    while (Health(running.channel(), kService) != health &&
           absl::Now() < until) {
      absl::SleepFor(absl::Milliseconds(10));
    }
    return Health(running.channel(), kService);
  };
  const StatusSource source = running.server().status_source();
  EXPECT_EQ(Health(running.channel(), kService), "SERVING");
  running.model().CloseGate();
  EXPECT_EQ(wait_for("NOT_SERVING"), "NOT_SERVING");
  EXPECT_FALSE(source.live().ok());
  EXPECT_FALSE(source.ready().ok());
  running.model().OpenGate();
  EXPECT_EQ(wait_for("SERVING"), "SERVING");
  EXPECT_TRUE(source.live().ok());
}

TEST(ServerTest, DrainDoesNotWaitForHealthWatches) {
  RunningServer running;
  RawCall watch(running.channel(), "/grpc.health.v1.Health/Watch", "");
  std::string status;
  ASSERT_TRUE(watch.Read(&status));
  EXPECT_EQ(status, "\x08\x01");
  const absl::Time start = absl::Now();
  EXPECT_EQ(running.server().Drain(absl::ZeroDuration(), absl::Minutes(5)), 0);
  EXPECT_LT(absl::Now() - start, absl::Seconds(20));
}

TEST(ServerTest, DrainedPortIsFreeAgain) {
  RunningServer running;
  ServerOptions options;
  options.listen = absl::StrCat("127.0.0.1:", running.server().port());
  running.server().Drain(absl::ZeroDuration(), absl::Seconds(5));
  const auto second = Server::Start(options);
  EXPECT_TRUE(second.ok()) << second.status();
}

TEST(ServerTest, DrainsWhileStillLoading) {
  RunningServer running({}, /*serve=*/false);
  EXPECT_EQ(running.server().Drain(absl::ZeroDuration(), absl::Seconds(5)), 0);
}

}  // namespace
}  // namespace zeroshot::server
