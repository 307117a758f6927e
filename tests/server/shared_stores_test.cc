// Servers that share a real Redis.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/classifier.h"
#include "client/client.h"
#include "tests/server/running_server.h"
#include "tests/testing/make_png.h"
#include "tests/testing/redis_server.h"
#include "tests/testing/slow_proxy.h"
#include "tests/testing/temporary_folder.h"

namespace zeroshot::server {
namespace {

using ::testing::HasSubstr;

class SharedStoresTest : public ::testing::Test {
 protected:
  ServerOptions Options() {
    ServerOptions options;
    options.redis = *stores::ParseRedisUrl(redis_.Url());
    return options;
  }
  static v1::ClassifyRequest Request(const std::string& id) {
    v1::ClassifyRequest request;
    request.set_image(testing_images::MakePng(1));
    request.set_weight_set_id(id);
    return request;
  }

  // Imports a matrix of the fake model's 64 dimensions; the id.
  static std::string Import(RunningServer& server, int num_classes,
                            const std::string& name = "class") {
    std::string header =
        absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (",
                     num_classes, ", 64), }");
    header.append(118 - header.size(), ' ');
    std::vector<float> rows(num_classes * 64);
    client::ImportOptions options;
    for (int c = 0; c < num_classes; ++c) {
      rows[c * 64 + c % 64] = c % 2 == 0 ? 1 : -1;
      options.class_names.push_back(absl::StrCat(name, " ", c));
    }
    const std::string file = absl::StrCat(
        absl::string_view("\x93NUMPY\x01\x00\x76\x00", 10), header,
        absl::string_view(reinterpret_cast<const char*>(rows.data()),
                          rows.size() * sizeof(float)));
    const auto client =
        *Client::Connect(absl::StrCat("127.0.0.1:", server.server().port()));
    const auto imported = client->Import(file, options);
    EXPECT_TRUE(imported.ok()) << imported.status();
    return imported.ok() ? imported->weight_set().weight_set_id() : "";
  }
  static grpc::StatusCode Classify(RunningServer& server,
                                   const std::string& id) {
    v1::ClassifyResponse response;
    return server.Classify(Request(id), &response).error_code();
  }
  static grpc::StatusCode Delete(RunningServer& server, const std::string& id) {
    v1::DeleteWeightSetRequest request;
    request.set_weight_set_id(id);
    v1::DeleteWeightSetResponse deleted;
    Context context;
    return server.stub()
        .DeleteWeightSet(&context, request, &deleted)
        .error_code();
  }
  // Whether `condition` comes true, given time.
  template <typename Condition>
  static bool Becomes(const Condition& condition) {
    const absl::Time until = absl::Now() + absl::Seconds(30);
    while (!condition()) {
      if (absl::Now() > until) return false;
      absl::SleepFor(absl::Milliseconds(20));
    }
    return true;
  }

  // A command of Redis.
  void Run(const stores::RedisClient::Command& command) {
    const auto client =
        *stores::RedisClient::Make(*stores::ParseRedisUrl(redis_.Url()));
    const auto reply = client->Run(command);
    EXPECT_TRUE(reply.ok()) << reply.status();
  }

  testing::RedisServer redis_;
};

TEST_F(SharedStoresTest, BuiltOnOneClassifiedOnAny) {
  RunningServer one(Options()), two(Options());
  const std::string id = one.Build(BuildRequest({"cat", "dog"}));
  v1::ClassifyResponse first, second;
  ASSERT_TRUE(one.Classify(Request(id), &first).ok());
  const grpc::Status status = two.Classify(Request(id), &second);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(two.text_calls(), 0);
  EXPECT_EQ(first.predictions(0).class_name(),
            second.predictions(0).class_name());
  EXPECT_EQ(first.predictions(0).logit(), second.predictions(0).logit());
}

TEST_F(SharedStoresTest, ASetIsToldOfWithoutItsWeights) {
  std::string id;
  {
    RunningServer one(Options());
    id = one.Build(BuildRequest({"cat", "dog"}));
  }
  RunningServer two(Options());
  v1::GetWeightSetRequest get;
  get.set_weight_set_id(id);
  v1::GetWeightSetResponse info;
  Context context;
  ASSERT_TRUE(two.stub().GetWeightSet(&context, get, &info).ok());
  EXPECT_EQ(info.class_names(1), "dog");
  EXPECT_EQ(info.weight_set().size_bytes(), 2 * 64 * 4);
  EXPECT_EQ(two.text_calls(), 0);
  EXPECT_THAT(two.server().status_source().metrics(),
              HasSubstr(R"(zeroshot_store_weight_sets{tier="memory"} 0)"));
}

TEST_F(SharedStoresTest, TheLastNameGivenOnAnyServerCountsOnAll) {
  RunningServer one(Options()), two(Options());
  const auto build = [](RunningServer& server, const char* name) {
    v1::BuildClassifierRequest request = BuildRequest({"cat", "dog"});
    request.set_display_name(name);
    return server.Build(request);
  };
  const auto name_on = [](RunningServer& server, const std::string& id) {
    const auto client =
        *Client::Connect(absl::StrCat("127.0.0.1:", server.server().port()));
    const auto list = client->ListWeightSets();
    const auto set = client->GetWeightSet(id.substr(0, 8));
    EXPECT_TRUE(list.ok() && set.ok()) << list.status() << set.status();
    if (!list.ok() || list->size() != 1 || !set.ok()) return std::string("?");
    EXPECT_EQ((*list)[0].display_name(), set->weight_set().display_name());
    return set->weight_set().display_name();
  };
  const std::string id = build(one, "pets");
  EXPECT_EQ(name_on(one, id), "pets");
  EXPECT_EQ(name_on(two, id), "pets");
  // Found on the other, which has it in memory from now on.
  EXPECT_EQ(build(two, "animals"), id);
  EXPECT_EQ(name_on(one, id), "animals");
  EXPECT_EQ(name_on(two, id), "animals");
  EXPECT_EQ(build(one, "pets"), id);
  EXPECT_EQ(name_on(two, id), "pets");
  EXPECT_EQ(one.text_calls() + two.text_calls(), 1);
  // Redis forgets it all; the next build puts set and name there again.
  Run({"FLUSHALL"});
  EXPECT_EQ(one.Build(BuildRequest({"cat", "dog"})), id);
  RunningServer three(Options());
  EXPECT_EQ(name_on(three, id), "pets");
  // Deleted by its beginning, it is gone with its name.
  ASSERT_EQ(Delete(three, id.substr(0, 10)), grpc::StatusCode::OK);
  EXPECT_EQ(three.Build(BuildRequest({"cat", "dog"})), id);
  EXPECT_EQ(name_on(three, id), "");
}

TEST_F(SharedStoresTest, IdsInRedisAreFoundByTheirBeginning) {
  RunningServer one(Options()), two(Options());
  const std::string built = one.Build(BuildRequest({"cat", "dog"}));
  const std::string imported = Import(one, 3);
  const auto client =
      *Client::Connect(absl::StrCat("127.0.0.1:", two.server().port()));
  EXPECT_EQ(client->DescribeWeightSet(built.substr(0, 8))->weight_set_id(),
            built);
  // "imported-" and 8 digits.
  EXPECT_EQ(client->DescribeWeightSet(imported.substr(0, 17))->weight_set_id(),
            imported);
  EXPECT_TRUE(client->DeleteWeightSet(imported.substr(0, 17)).ok());
  EXPECT_EQ(Classify(two, imported), grpc::StatusCode::NOT_FOUND);
}

TEST_F(SharedStoresTest, ALostSetComesBackWithoutItsCallerNoticing) {
  RunningServer one(Options());
  const auto client =
      *Client::Connect(absl::StrCat("127.0.0.1:", one.server().port()));
  const auto classifier =
      client::Classifier::Build(client.get(), {.classes = {{"cat"}, {"dog"}}});
  ASSERT_TRUE(classifier.ok()) << classifier.status();
  const auto before = (*classifier)->Classify(testing_images::MakePng(1));
  ASSERT_TRUE(before.ok()) << before.status();
  ASSERT_EQ(Delete(one, (*classifier)->weight_set_id()), grpc::StatusCode::OK);
  const auto after = (*classifier)->Classify(testing_images::MakePng(1));
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->predictions[0].logit, before->predictions[0].logit);
  // And is there for others.
  RunningServer two(Options());
  EXPECT_EQ(Classify(two, (*classifier)->weight_set_id()),
            grpc::StatusCode::OK);
  EXPECT_EQ(two.text_calls(), 0);
}

TEST_F(SharedStoresTest, ADamagedSetIsNeverServedAndIsBuiltAgain) {
  v1::ClassifyResponse first, second;
  std::string id;
  {
    RunningServer one(Options());
    id = one.Build(BuildRequest({"cat", "dog"}));
    ASSERT_TRUE(one.Classify(Request(id), &first).ok());
  }
  Run({"SETRANGE", "zeroshot:set:" + id, "1200", "\x7f"});
  RunningServer two(Options());
  EXPECT_EQ(Classify(two, id), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(two.Build(BuildRequest({"cat", "dog"})), id);
  ASSERT_TRUE(two.Classify(Request(id), &second).ok());
  EXPECT_EQ(first.predictions(0).logit(), second.predictions(0).logit());
  EXPECT_EQ(two.text_calls(), 1);
}

TEST_F(SharedStoresTest, ABuildHoldsTheLease) {
  RunningServer two(Options()), three(Options());
  two.model().CloseGate();
  auto call = std::async(std::launch::async, [&] {
    return two.Build(BuildRequest({"cat", "dog"}));
  });
  ASSERT_TRUE(two.model().WaitForCallsAtGate(1));
  // The caller's deadline counts while another server builds.
  v1::BuildClassifierResponse response;
  Context context(absl::Milliseconds(300));
  EXPECT_EQ(
      three.stub()
          .BuildClassifier(&context, BuildRequest({"cat", "dog"}), &response)
          .error_code(),
      grpc::StatusCode::DEADLINE_EXCEEDED);
  two.model().OpenGate();
  const std::string id = call.get();
  EXPECT_EQ(Classify(three, id), grpc::StatusCode::OK);
  EXPECT_EQ(three.text_calls(), 0);
}

TEST_F(SharedStoresTest, ADeletedSetIsNotBuiltAgain) {
  RunningServer one(Options());
  const std::string id = one.Build(BuildRequest({"cat", "dog"}));
  v1::DeleteWeightSetRequest request;
  request.set_weight_set_id(id);
  v1::DeleteWeightSetResponse deleted;
  Context context;
  ASSERT_TRUE(one.stub().DeleteWeightSet(&context, request, &deleted).ok());
  v1::ClassifyResponse response;
  EXPECT_EQ(one.Classify(Request(id), &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(
      RunningServer(Options()).Classify(Request(id), &response).error_code(),
      grpc::StatusCode::NOT_FOUND);
}

TEST_F(SharedStoresTest, ASetInUseOnAnyServerIsThereForAll) {
  ServerOptions options = Options();
  options.redis_store.ttl = absl::Seconds(2);
  RunningServer one(options);
  const std::string built = one.Build(BuildRequest({"cat", "dog"}));
  const std::string imported = Import(one, 3);
  // Until the other server has answered, however long its start takes. Memory
  // answers all of these.
  std::atomic<bool> done{false};
  std::thread user([&] {
    while (!done) {
      EXPECT_EQ(Classify(one, built), grpc::StatusCode::OK);
      EXPECT_EQ(Classify(one, imported), grpc::StatusCode::OK);
      absl::SleepFor(absl::Milliseconds(20));
    }
  });
  absl::SleepFor(3 * options.redis_store.ttl);
  RunningServer two(options);
  EXPECT_EQ(Classify(two, built), grpc::StatusCode::OK);
  EXPECT_EQ(Classify(two, imported), grpc::StatusCode::OK);
  EXPECT_EQ(two.text_calls(), 0);
  done = true;
  user.join();
}

TEST_F(SharedStoresTest, WhatRedisLostIsThereAgainWhileAnyServerUsesIt) {
  ServerOptions options = Options();
  options.redis_store.ttl = absl::Seconds(1);
  RunningServer one(options), two(options);
  const std::string id = Import(one, 3);
  Run({"FLUSHALL"});
  EXPECT_TRUE(Becomes([&] {
    EXPECT_EQ(Classify(one, id), grpc::StatusCode::OK);
    return Classify(two, id) == grpc::StatusCode::OK;
  }));
}

TEST_F(SharedStoresTest, BuildAndImportOfASetThatIsFoundRepairEveryTier) {
  testing::TemporaryFolder folder;
  ServerOptions options = Options();
  options.disk_store = folder.path();
  RunningServer one(options);
  const std::string built = one.Build(BuildRequest({"cat", "dog"}));
  const std::string imported = Import(one, 3);
  Run({"FLUSHALL"});
  for (const std::string& id : {built, imported}) {
    ASSERT_TRUE(
        std::filesystem::remove(folder.path() + "/" + id + ".safetensors"));
  }
  {
    RunningServer two(Options());
    EXPECT_EQ(Classify(two, built), grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(one.Build(BuildRequest({"cat", "dog"})), built);
    EXPECT_EQ(Import(one, 3), imported);
    EXPECT_EQ(one.text_calls(), 1);
    EXPECT_EQ(Classify(two, built), grpc::StatusCode::OK);
    EXPECT_EQ(Classify(two, imported), grpc::StatusCode::OK);
    EXPECT_EQ(two.text_calls(), 0);
  }
  ServerOptions disk_only;
  disk_only.disk_store = folder.path();
  RunningServer three(disk_only);
  EXPECT_EQ(Classify(three, built), grpc::StatusCode::OK);
  EXPECT_EQ(Classify(three, imported), grpc::StatusCode::OK);
}

TEST_F(SharedStoresTest, ASetDeletedOnOneServerLeavesTheOthersToo) {
  ServerOptions options = Options();
  options.redis_store.ttl = absl::Seconds(2);
  RunningServer one(options), two(options);
  const std::string id = Import(one, 3);
  ASSERT_EQ(Classify(two, id), grpc::StatusCode::OK);
  ASSERT_EQ(Delete(one, id), grpc::StatusCode::OK);
  EXPECT_TRUE(Becomes(
      [&] { return Classify(two, id) == grpc::StatusCode::NOT_FOUND; }));
  EXPECT_EQ(Classify(one, id), grpc::StatusCode::NOT_FOUND);
  // Until someone wants it again.
  EXPECT_EQ(Import(two, 3), id);
  EXPECT_EQ(Classify(one, id), grpc::StatusCode::OK);
}

TEST_F(SharedStoresTest, DeleteWinsAgainstAReadUnderWay) {
  std::string id;
  {
    RunningServer one(Options());
    id = Import(one, 8'000);
  }
  testing::SlowProxy link(redis_.port());
  ServerOptions options = Options();
  options.redis->port = link.port();
  options.redis->timeout = absl::Seconds(60);
  RunningServer two(options);
  link.SetRate(500'000);
  const int64_t before = link.bytes_from_server();
  auto call = std::async(std::launch::async, [&] { return Classify(two, id); });
  ASSERT_TRUE(
      Becomes([&] { return link.bytes_from_server() > before + 200'000; }));
  EXPECT_EQ(Delete(two, id), grpc::StatusCode::OK);
  link.SetRate(0);
  (void)call.get();
  EXPECT_EQ(Classify(two, id), grpc::StatusCode::NOT_FOUND);
}

TEST_F(SharedStoresTest, ALargeSetOnASlowLinkTakesRedisFromNobody) {
  std::vector<std::string> small;
  std::string large;
  {
    RunningServer one(Options());
    large = Import(one, 190'000);  // 49 MB, and its names
    for (int i = 0; i < 40; ++i) {
      small.push_back(Import(one, 10, absl::StrCat("set ", i)));
    }
  }
  testing::SlowProxy link(redis_.port(), 30'000'000);
  ServerOptions options = Options();
  options.redis->port = link.port();
  options.memory_store_bytes = 4 << 20;  // so that it is read again and again
  RunningServer two(options);
  std::atomic<bool> over{false};
  auto caller = std::async(std::launch::async, [&] {
    int answered = 0;
    while (!over || answered == 0) {
      const grpc::StatusCode code = Classify(two, large);
      EXPECT_EQ(code, grpc::StatusCode::OK);
      if (code != grpc::StatusCode::OK) break;
      ++answered;
    }
    return answered;
  });
  const int64_t before = link.bytes_from_server();
  ASSERT_TRUE(
      Becomes([&] { return link.bytes_from_server() > before + 1'000'000; }));
  for (const std::string& id : small) {
    EXPECT_EQ(Classify(two, id), grpc::StatusCode::OK);
  }
  over = true;
  EXPECT_GT(caller.get(), 0);
  // It is shared from there, too.
  Run({"FLUSHALL"});
  options.memory_store_bytes = 1 << 30;
  RunningServer three(options);
  EXPECT_EQ(Import(three, 190'000), large);
  RunningServer four(Options());
  EXPECT_EQ(Classify(four, large), grpc::StatusCode::OK);
}

TEST_F(SharedStoresTest, WhileRedisIsAwayEachServesOnItsOwn) {
  RunningServer one(Options());
  const std::string id = one.Build(BuildRequest({"cat", "dog"}));
  redis_.Kill();
  v1::ClassifyResponse response;
  EXPECT_TRUE(one.Classify(Request(id), &response).ok());
  EXPECT_NE(one.Build(BuildRequest({"cat", "bird"})), "");
  const grpc::Status unknown = one.Classify(Request("x"), &response);
  EXPECT_EQ(unknown.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(SharedStoresTest, AFrozenRedisHoldsNoClassifyLongerThanItsTimeout) {
  ServerOptions options = Options();
  options.redis->timeout = absl::Milliseconds(300);
  RunningServer one(options);
  const std::string id = one.Build(BuildRequest({"cat", "dog"}));
  redis_.Freeze();
  v1::ClassifyResponse response;
  const absl::Time start = absl::Now();
  EXPECT_EQ(one.Classify(Request("x"), &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
  EXPECT_TRUE(one.Classify(Request(id), &response).ok());
  EXPECT_LT(absl::Now() - start, absl::Seconds(3));
  redis_.Thaw();
}

}  // namespace
}  // namespace zeroshot::server
