#include "client/classifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/client/fake_server.h"

namespace zeroshot::client {
namespace {

const ClassifierSpec kSpec = {.classes = {{"cat"}, {"dog"}}};

TEST(ClientClassifierTest, ClassifiesWithWhatItBuilt) {
  FakeServer server;
  FakeClassifiers fake(&server);
  const auto client = server.Connect();
  const auto classifier = Classifier::Build(client.get(), kSpec);
  ASSERT_TRUE(classifier.ok()) << classifier.status();
  EXPECT_EQ((*classifier)->weight_set_id(), "id-cat-dog");
  const auto answer = (*classifier)->Classify("dog");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->predictions[0].class_name, "dog");
  EXPECT_EQ(fake.builds(), 1);
}

TEST(ClientClassifierTest, RebuildsAForgottenWeightSet) {
  FakeServer server;
  FakeClassifiers fake(&server);
  const auto client = server.Connect();
  const auto classifier = *Classifier::Build(client.get(), kSpec);
  for (int round = 2; round <= 3; ++round) {
    fake.Forget();
    const auto answer = classifier->Classify("cat");
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->predictions[0].class_name, "cat");
    EXPECT_EQ(fake.builds(), round);
  }
}

TEST(ClientClassifierTest, ABatchSurvivesAServerThatForgets) {
  FakeServer server;
  FakeClassifiers fake(&server);
  const auto client = server.Connect();
  const auto classifier = *Classifier::Build(client.get(), kSpec);
  fake.Forget();
  const auto batch = classifier->ClassifyBatch({"cat", "dog", "a cow"});
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ(fake.builds(), 2);
  ASSERT_EQ(batch->items.size(), 3);
  EXPECT_EQ(batch->items[1]->predictions[0].class_name, "dog");
  EXPECT_TRUE(absl::IsInvalidArgument(batch->items[2].status()));
}

TEST(ClientClassifierTest, ServersInTurnNeedNotShareAStore) {
  FakeServer one, two;
  FakeClassifiers fake_one(&one), fake_two(&two);
  const auto client = *Client::Connect(
      absl::StrCat("ipv4:127.0.0.1:", one.port(), ",127.0.0.1:", two.port()));
  const auto classifier = *Classifier::Build(client.get(), kSpec);
  // gRPC takes the servers in turn from when both are connected.
  const absl::Time end = absl::Now() + absl::Seconds(20);
  while ((fake_one.builds() == 0 || fake_two.builds() == 0) &&
         absl::Now() < end) {
    ASSERT_TRUE(client->Build(kSpec).ok());
  }
  ASSERT_GT(fake_one.builds(), 0);
  ASSERT_GT(fake_two.builds(), 0);
  for (int i = 0; i < 40; ++i) {
    if (i % 10 == 0) {
      fake_one.Forget();
      fake_two.Forget();
    }
    const auto answer = classifier->Classify("dog");
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->predictions[0].class_name, "dog");
    const auto batch = classifier->ClassifyBatch({"cat"});
    ASSERT_TRUE(batch.ok()) << batch.status();
    EXPECT_EQ(batch->items[0]->predictions[0].class_name, "cat");
  }
}

TEST(ClientClassifierTest, RepeatsTheCallOnceAndThenBringsTheClassifier) {
  FakeServer server;
  FakeClassifiers fake(&server);
  std::atomic<int> calls{0};
  server.classify = [&](const auto& request, auto*) {
    EXPECT_EQ(request.has_classifier(), ++calls == 3);
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "never heard of");
  };
  const auto client = server.Connect();
  const auto classifier = *Classifier::Build(client.get(), kSpec);
  EXPECT_TRUE(absl::IsNotFound(classifier->Classify("cat").status()));
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(fake.builds(), 2);
}

TEST(ClientClassifierTest, OtherErrorsDoNotRebuild) {
  FakeServer server;
  FakeClassifiers fake(&server);
  const auto client = server.Connect();
  const auto classifier = *Classifier::Build(client.get(), kSpec);
  EXPECT_TRUE(absl::IsInvalidArgument(classifier->Classify("a cow").status()));
  EXPECT_EQ(fake.builds(), 1);
}

TEST(ClientClassifierTest, SeveralAreAskedAtOnceAndSurviveAServerThatForgets) {
  FakeServer server;
  FakeClassifiers fake(&server);
  const auto client = server.Connect();
  const auto animals =
      *Classifier::Build(client.get(), {.classes = {{"cat"}, {"dog"}}});
  const auto pets =
      *Classifier::Build(client.get(), {.classes = {{"hamster"}, {"cat"}}});
  for (const int builds : {2, 4}) {
    const auto answers =
        Classifier::ClassifyWithEach({animals.get(), pets.get()}, "cat");
    ASSERT_TRUE(answers.ok()) << answers.status();
    ASSERT_EQ(answers->size(), 2);
    EXPECT_EQ((*answers)[0].predictions[1].class_name, "dog");
    EXPECT_EQ((*answers)[1].predictions[1].class_name, "hamster");
    EXPECT_EQ(fake.builds(), builds);
    fake.Forget();
  }
  EXPECT_TRUE(absl::IsInvalidArgument(
      Classifier::ClassifyWithEach({}, "cat").status()));
}

TEST(ClientClassifierTest, AFailedRebuildIsTheAnswer) {
  FakeServer server;
  FakeClassifiers fake(&server);
  const auto client = server.Connect({.max_attempts = 1});
  const auto classifier = *Classifier::Build(client.get(), kSpec);
  fake.Forget();
  server.build = [](const auto&, auto*) {
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "busy");
  };
  EXPECT_EQ(classifier->Classify("cat").status(),
            absl::ResourceExhaustedError("busy"));
}

TEST(ClientClassifierTest, FollowsAnIdThatChangesWithTheModel) {
  FakeServer server;
  FakeClassifiers fake(&server);
  std::atomic<int> model{1};
  // Forgotten, or still in a store that outlived the model.
  std::atomic<grpc::StatusCode> code{grpc::StatusCode::NOT_FOUND};
  server.build = [&](const auto&, auto* response) {
    response->set_weight_set_id(absl::StrCat("model-", model.load()));
    return grpc::Status::OK;
  };
  server.classify = [&](const auto& request, auto* response) {
    if (request.weight_set_id() != absl::StrCat("model-", model.load())) {
      return grpc::Status(code.load(), "not this one");
    }
    response->add_predictions();
    return grpc::Status::OK;
  };
  const auto client = server.Connect();
  const auto classifier = *Classifier::Build(client.get(), kSpec);
  model = 2;
  EXPECT_TRUE(classifier->Classify("cat").ok());
  EXPECT_EQ(classifier->weight_set_id(), "model-2");
  code = grpc::StatusCode::FAILED_PRECONDITION;
  model = 3;
  EXPECT_TRUE(classifier->Classify("cat").ok());
  EXPECT_EQ(classifier->weight_set_id(), "model-3");
  EXPECT_EQ(classifier->built().weight_set_id(), "model-1");
}

TEST(ClientClassifierTest, ThreadsThatMissASetTogetherBuildItOnce) {
  FakeServer server;
  FakeClassifiers fake(&server);
  // Nobody is answered before all have missed the set.
  constexpr int kThreads = 6;
  std::atomic<int> missed{0};
  const auto classify = server.classify.Get();
  server.classify = [&](const auto& request, auto* response) {
    const grpc::Status status = classify(request, response);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) {
      ++missed;
      while (missed < kThreads) std::this_thread::yield();
    }
    return status;
  };
  const auto client = server.Connect();
  const auto classifier = *Classifier::Build(client.get(), kSpec);
  fake.Forget();
  std::atomic<int> answered{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      if (classifier->Classify("cat").ok()) ++answered;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answered, kThreads);
  EXPECT_EQ(fake.builds(), 2);
}

// Holds every build of a server until Open.
class BuildGate {
 public:
  explicit BuildGate(FakeServer* server) {
    const auto build = server->build.Get();
    server->build = [this, build](const auto& request, auto* response) {
      ++builds_;
      while (!open_) std::this_thread::yield();
      return build(request, response);
    };
  }
  void Open() { open_ = true; }
  void Close() { open_ = false; }
  int builds() const { return builds_; }

 private:
  std::atomic<bool> open_{true};
  std::atomic<int> builds_{0};
};

TEST(ClientClassifierTest, ACallDoesNotWaitForABuildLongerThanItMay) {
  FakeServer server;
  FakeClassifiers fake(&server);
  BuildGate gate(&server);
  const auto client = server.Connect({.timeout = absl::Milliseconds(200)});
  const auto classifier = *Classifier::Build(client.get(), kSpec);
  fake.Forget();
  gate.Close();
  EXPECT_TRUE(absl::IsDeadlineExceeded(classifier->Classify("cat").status()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(classifier->Classify("dog").status()));
  gate.Open();
  // Both waited for one build, which went on without them.
  while (!classifier->Classify("cat").ok()) {
  }
  EXPECT_EQ(gate.builds(), 2);
}

TEST(ClientClassifierTest, ThreadsThatWaitForABuildShareItsFailure) {
  FakeServer server;
  FakeClassifiers fake(&server);
  constexpr int kThreads = 6;
  std::atomic<int> missed{0}, builds{0};
  const auto classify = server.classify.Get();
  server.classify = [&](const auto& request, auto* response) {
    const grpc::Status status = classify(request, response);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) ++missed;
    return status;
  };
  const auto client = server.Connect({.max_attempts = 1});
  const auto classifier = *Classifier::Build(client.get(), kSpec);
  fake.Forget();
  // Fails when all have missed the set and had time to ask for it.
  server.build = [&](const auto&, auto*) {
    ++builds;
    while (missed < kThreads) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    return grpc::Status(grpc::StatusCode::INTERNAL, "broken");
  };
  std::atomic<int> told{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      told +=
          classifier->Classify("cat").status() == absl::InternalError("broken");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(told, kThreads);
  EXPECT_LT(builds, kThreads);
}

TEST(ClientClassifierTest, DestroyingItEndsABuildThatIsUnderWay) {
  FakeServer server;
  FakeClassifiers fake(&server);
  BuildGate gate(&server);
  const auto client = server.Connect({.timeout = absl::Milliseconds(200)});
  auto classifier = *Classifier::Build(client.get(), kSpec);
  fake.Forget();
  gate.Close();
  EXPECT_TRUE(absl::IsDeadlineExceeded(classifier->Classify("cat").status()));
  classifier.reset();  // would not return: the gate is closed
  gate.Open();
  server.Stop();  // the build that is let go uses both
}

}  // namespace
}  // namespace zeroshot::client
