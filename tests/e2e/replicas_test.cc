// Several real servers that share a real redis-server, and what happens to
// builds and answers when one of them, Redis or stored bytes are harmed.
#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <signal.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "client/classifier.h"
#include "client/client.h"
#include "stores/redis_client.h"
#include "tests/e2e/programs.h"
#include "tests/testing/certificates.h"
#include "tests/testing/redis_server.h"
#include "tests/testing/temporary_folder.h"
#include "zeroshot/v1/zeroshot.grpc.pb.h"

namespace e2e {
namespace {

namespace v1 = zeroshot::v1;

constexpr char kEncoded[] = "zeroshot_tokens_encoded_total";
constexpr char kBuilt[] = R"(zeroshot_builds_total{result="built"})";

// A context with a deadline that no test should reach.
struct Context : grpc::ClientContext {
  Context() {
    set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
  }
};

// `count` classes; `name` tells specs apart.
v1::BuildClassifierRequest Spec(const std::string& name, int count) {
  v1::BuildClassifierRequest request;
  for (int i = 0; i < count; ++i) {
    request.add_classes()->set_name(absl::StrCat(name, " number ", i));
  }
  return request;
}

// One that takes the demo model a second or two.
v1::BuildClassifierRequest LongSpec(const std::string& name) {
  v1::BuildClassifierRequest request = Spec(name, 2000);
  request.set_template_set("openai-imagenet-7");
  return request;
}

// One of the servers, and a connection to it.
// Thread rule: the calls may be made from many threads at once.
class Replica {
 public:
  explicit Replica(const std::vector<std::string>& flags)
      : server_(WithMetrics(flags)) {
    EXPECT_NE(server_.address(), "") << server_.process().Errors();
    grpc::ChannelArguments own;
    own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    stub_ = v1::ZeroShot::NewStub(grpc::CreateCustomChannel(
        server_.address(), grpc::InsecureChannelCredentials(), own));
    const std::string line = server_.process().WaitForLine("metrics and");
    page_ = line.substr(std::min(line.size(), line.rfind("http://")));
  }

  Process& process() { return server_.process(); }
  std::string address() const { return server_.address(); }

  grpc::Status Delete(const std::string& id) {
    v1::DeleteWeightSetRequest request;
    request.set_weight_set_id(id);
    v1::DeleteWeightSetResponse response;
    Context context;
    return stub_->DeleteWeightSet(&context, request, &response);
  }

  grpc::Status Build(const v1::BuildClassifierRequest& request,
                     v1::BuildClassifierResponse* response) {
    Context context;
    return stub_->BuildClassifier(&context, request, response);
  }
  // The id of a set built from the request.
  std::string Build(const v1::BuildClassifierRequest& request) {
    v1::BuildClassifierResponse response;
    const grpc::Status status = Build(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.weight_set_id();
  }

  // A build on a thread of its own, under way when this returns.
  std::future<grpc::Status> StartBuild(
      const v1::BuildClassifierRequest& request) {
    const auto started = std::make_shared<std::promise<void>>();
    auto build = std::async(std::launch::async, [this, request, started] {
      Context context;
      const auto reader = stub_->BuildClassifierStream(&context, request);
      v1::BuildClassifierStreamResponse event;
      (void)reader->Read(&event);
      started->set_value();
      while (reader->Read(&event)) {
      }
      return reader->Finish();
    });
    started->get_future().wait();
    return build;
  }

  grpc::Status Classify(const std::string& id, float* logit = nullptr) {
    v1::ClassifyRequest request;
    request.set_image(testing_certificates::ReadFile(
        absl::StrCat(kModel, "/images/frog.png")));
    request.set_weight_set_id(id);
    v1::ClassifyResponse response;
    Context context;
    const grpc::Status status = stub_->Classify(&context, request, &response);
    if (status.ok() && logit != nullptr) {
      *logit = response.predictions(0).logit();
    }
    return status;
  }

  // 0 if it was never counted.
  double Metric(const std::string& name) {
    const auto page = httplib::Client(page_).Get("/metrics");
    EXPECT_TRUE(page) << page_;
    if (!page) return -1;
    for (absl::string_view line : absl::StrSplit(page->body, '\n')) {
      double value = 0;
      if (absl::ConsumePrefix(&line, name) && absl::ConsumePrefix(&line, " ") &&
          absl::SimpleAtod(line, &value)) {
        return value;
      }
    }
    return 0;
  }

 private:
  static std::vector<std::string> WithMetrics(std::vector<std::string> flags) {
    flags.insert(flags.end(), {"--metrics_listen=127.0.0.1:0", "--threads=1",
                               "--drain_grace=0s", "--log_level=info"});
    return flags;
  }

  DemoServer server_;
  std::unique_ptr<v1::ZeroShot::Stub> stub_;
  std::string page_;
};

class ReplicasTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::RedisServer::Installed()) GTEST_SKIP() << "no redis-server";
    redis_ = std::make_unique<testing::RedisServer>();
  }

  std::unique_ptr<Replica> Start(std::vector<std::string> flags = {}) {
    flags.push_back("--redis=" + redis_->Url());
    return std::make_unique<Replica>(flags);
  }

  void Run(const stores::RedisClient::Command& command) {
    const auto client =
        *stores::RedisClient::Make(*stores::ParseRedisUrl(redis_->Url()));
    const auto reply = client->Run(command);
    EXPECT_TRUE(reply.ok()) << reply.status();
  }

  std::unique_ptr<testing::RedisServer> redis_;
};

TEST_F(ReplicasTest, BuiltOnOneClassifiedOnAnyWithoutTheirTextTowers) {
  auto one = Start();
  const auto two = Start();
  const std::string id = one->Build(Spec("thing", 20));
  float first = 0, second = 1, third = 2;
  ASSERT_TRUE(one->Classify(id, &first).ok());
  ASSERT_TRUE(two->Classify(id, &second).ok());
  EXPECT_FLOAT_EQ(first, second);
  // One that starts after the builder has died.
  one->process().Signal(SIGKILL);
  one.reset();
  const auto three = Start();
  ASSERT_TRUE(three->Classify(id, &third).ok());
  EXPECT_FLOAT_EQ(first, third);
  EXPECT_EQ(two->Metric(kEncoded), 0);
  EXPECT_EQ(three->Metric(kEncoded), 0);
}

TEST_F(ReplicasTest, ASpecThatManyAskThreeServersForIsBuiltOnce) {
  constexpr int kClients = 200;
  const std::vector<std::unique_ptr<Replica>> replicas = [this] {
    std::vector<std::unique_ptr<Replica>> started;
    for (int i = 0; i < 3; ++i) started.push_back(Start());
    return started;
  }();
  const v1::BuildClassifierRequest request = LongSpec("thing");
  std::vector<v1::BuildClassifierResponse> responses(kClients);
  std::vector<std::thread> clients;
  std::atomic<int> failed{0};
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&, i] {
      const auto status = replicas[i % 3]->Build(request, &responses[i]);
      if (status.ok()) return;
      ++failed;
      ADD_FAILURE() << status.error_message();
    });
  }
  for (std::thread& client : clients) client.join();
  ASSERT_EQ(failed, 0);
  double built = 0, encoded = 0;
  for (const auto& replica : replicas) {
    built += replica->Metric(kBuilt);
    encoded += replica->Metric(kEncoded);
  }
  EXPECT_EQ(built, 1);
  int64_t of_the_build = 0;
  for (const v1::BuildClassifierResponse& response : responses) {
    EXPECT_EQ(response.weight_set_id(), responses[0].weight_set_id());
    if (!response.cached()) of_the_build = response.num_tokens_encoded();
  }
  EXPECT_GT(of_the_build, 0);
  EXPECT_EQ(encoded, of_the_build);
}

TEST_F(ReplicasTest, AnotherFinishesTheBuildOfAServerThatWasKilled) {
  auto one = Start();
  const auto two = Start();
  const v1::BuildClassifierRequest request = LongSpec("thing");
  auto build = one->StartBuild(request);
  auto other = two->StartBuild(request);  // waits for the lease
  one->process().Signal(SIGKILL);
  EXPECT_EQ(build.get().error_code(), grpc::StatusCode::UNAVAILABLE);
  const grpc::Status status = other.get();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(two->Metric(kBuilt), 1);
  EXPECT_GT(two->Metric(kEncoded), 0);
  EXPECT_TRUE(two->Classify(two->Build(request)).ok());
}

TEST_F(ReplicasTest, NothingFailsThatNeedNotWhileRedisIsAway) {
  const auto one = Start(), two = Start();
  const std::string id = one->Build(Spec("thing", 20));
  ASSERT_TRUE(two->Classify(id).ok());  // from now on in its memory
  std::atomic<bool> over{false};
  std::atomic<int> answered{0};
  std::vector<std::thread> callers;
  for (Replica* replica : {one.get(), two.get()}) {
    callers.emplace_back([&, replica] {
      while (!over) {
        const grpc::Status status = replica->Classify(id);
        ASSERT_TRUE(status.ok()) << status.error_message();
        ++answered;
      }
    });
  }
  auto build = one->StartBuild(LongSpec("thing"));
  redis_->Kill();
  // Each serves on its own; a spec asked of both has one id.
  EXPECT_TRUE(build.get().ok());
  const std::string own = one->Build(Spec("other", 5));
  EXPECT_EQ(two->Build(Spec("other", 5)), own);
  EXPECT_TRUE(two->Classify(own).ok());
  redis_->Start();
  // It is empty now. A new set is shared once both have dialled again.
  bool shared = false;
  for (int i = 0; i < 60 && !shared; ++i) {
    shared = two->Classify(one->Build(Spec(absl::StrCat("set ", i), 3))).ok();
    if (!shared) absl::SleepFor(absl::Milliseconds(250));
  }
  EXPECT_TRUE(shared);
  over = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_GT(answered, 20);
  EXPECT_NE(one->process().WaitForLine("well again", absl::Seconds(1)), "");
}

TEST_F(ReplicasTest, DamagedBytesAreDroppedAndBuiltAgainNeverServed) {
  const testing::TemporaryFolder folder;
  const std::string on_disk = "--disk_store=" + folder.path();
  float first = 0, second = 1, third = 2;
  auto one = Start({on_disk});
  const std::string id = one->Build(Spec("thing", 20));
  ASSERT_TRUE(one->Classify(id, &first).ok());
  one.reset();
  Run({"SETRANGE", absl::StrCat("zeroshot:set:", id), "2000", "\x55\x55"});
  {
    std::fstream file(absl::StrCat(folder.path(), "/", id, ".safetensors"),
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-8, std::ios::end);
    file.write("\x55\x55", 2);
    ASSERT_TRUE(file.good());
  }
  one = Start({on_disk});
  EXPECT_EQ(one->Classify(id).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(one->Build(Spec("thing", 20)), id);
  ASSERT_TRUE(one->Classify(id, &second).ok());
  EXPECT_NEAR(first, second, 1e-4);
  EXPECT_EQ(one->Metric(kBuilt), 1);
  EXPECT_GT(one->Metric(kEncoded), 0);
  for (const char* tier : {"disk", "redis"}) {
    EXPECT_NE(one->process().WaitForLine(
                  absl::StrCat("the ", tier, " store had a damaged"),
                  absl::Seconds(1)),
              "");
    EXPECT_EQ(one->Metric(absl::StrCat("zeroshot_store_errors_total{tier=\"",
                                       tier, "\"}")),
              1);
  }
  // Whole again, in both.
  one.reset();
  const auto two = Start();
  Replica three({on_disk});
  ASSERT_TRUE(two->Classify(id, &second).ok());
  ASSERT_TRUE(three.Classify(id, &third).ok());
  EXPECT_FLOAT_EQ(second, third);
  EXPECT_EQ(two->Metric(kEncoded), 0);
}

// Their callers do not notice: the client library builds again what a server
// has forgotten.
TEST_F(ReplicasTest, WhatRedisHasEvictedIsBuiltAgainOnceForAll) {
  const auto one = Start(), two = Start();
  zeroshot::client::ClassifierSpec spec;
  for (int i = 0; i < 2000; ++i) {
    spec.classes.push_back({absl::StrCat("thing number ", i)});
  }
  std::vector<std::unique_ptr<zeroshot::Client>> clients;
  std::vector<std::unique_ptr<zeroshot::client::Classifier>> classifiers;
  for (int i = 0; i < 20; ++i) {
    Replica& replica = i % 2 ? *one : *two;
    clients.push_back(*zeroshot::Client::Connect(replica.address()));
    classifiers.push_back(
        *zeroshot::client::Classifier::Build(clients.back().get(), spec));
  }
  const std::string id = classifiers[0]->weight_set_id();
  EXPECT_EQ(one->Metric(kBuilt) + two->Metric(kBuilt), 1);
  // From both memories, and from Redis.
  ASSERT_TRUE(one->Delete(id).ok());
  (void)two->Delete(id);
  const std::string image =
      testing_certificates::ReadFile(absl::StrCat(kModel, "/images/frog.png"));
  std::vector<std::thread> callers;
  for (const auto& classifier : classifiers) {
    callers.emplace_back([&] {
      const auto answer = classifier->Classify(image);
      EXPECT_TRUE(answer.ok()) << answer.status();
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(one->Metric(kBuilt) + two->Metric(kBuilt), 2);
}

}  // namespace
}  // namespace e2e
