// Against a real redis-server on loopback.
#include "stores/redis_store.h"

#include <hiredis/hiredis.h>

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stores/memory_store.h"
#include "stores/stored_set.h"
#include "stores/tiered_store.h"
#include "tests/stores/make_weight_set.h"
#include "tests/stores/weight_store_suite.h"
#include "tests/testing/certificates.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/redis_server.h"
#include "tests/testing/slow_proxy.h"
#include "zeroshot/weight_set_builder.h"

namespace stores {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kTimeout = absl::Seconds(5);

// A store with a connection of its own.
struct Client {
  explicit Client(RedisOptions options, RedisStoreOptions store_options = {})
      : client(*RedisClient::Make(options)),
        store(client.get(), store_options) {}
  explicit Client(const testing::RedisServer& server,
                  absl::Duration timeout = kTimeout,
                  RedisStoreOptions store_options = {})
      : Client(Options(server, timeout), store_options) {}

  static RedisOptions Options(const testing::RedisServer& server,
                              absl::Duration timeout = kTimeout) {
    RedisOptions options = *ParseRedisUrl(server.Url());
    options.timeout = timeout;
    return options;
  }

  int64_t Number(const RedisClient::Command& command) {
    const auto reply = client->Run(command);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? (*reply)->integer : -1;
  }

  const std::unique_ptr<RedisClient> client;
  RedisStore store;
};

// A server and a store of its own.
class OwnRedis : public WeightStore {
 public:
  absl::StatusOr<std::shared_ptr<const WeightSet>> Get(
      absl::string_view id) override {
    return client_.store.Get(id);
  }
  absl::StatusOr<std::shared_ptr<const WeightSet>> GetHeader(
      absl::string_view id) override {
    return client_.store.GetHeader(id);
  }
  absl::Status Put(std::shared_ptr<const WeightSet> set) override {
    return client_.store.Put(std::move(set));
  }
  absl::Status Touch(absl::string_view id) override {
    return client_.store.Touch(id);
  }
  absl::Status Delete(absl::string_view id) override {
    return client_.store.Delete(id);
  }
  absl::StatusOr<DisplayName> GetDisplayName(absl::string_view id) override {
    return client_.store.GetDisplayName(id);
  }
  absl::Status PutDisplayName(absl::string_view id,
                              const DisplayName& name) override {
    return client_.store.PutDisplayName(id, name);
  }
  absl::StatusOr<std::vector<WeightSetSummary>> List(absl::string_view after,
                                                     int limit) override {
    return client_.store.List(after, limit);
  }

 private:
  testing::RedisServer server_;
  Client client_{server_};
};

std::unique_ptr<WeightStore> MakeRedisStore() {
  return std::make_unique<OwnRedis>();
}

INSTANTIATE_TEST_SUITE_P(RedisStore, WeightStoreTest,
                         ::testing::Values(&MakeRedisStore));

class RedisStoreTest : public ::testing::Test {
 protected:
  testing::RedisServer server_;
};

TEST_F(RedisStoreTest, WhatOneServerPutsAnotherGets) {
  Client one(server_), two(server_);
  ASSERT_TRUE(one.store.Put(MakeWeightSet("a")).ok());
  const auto got = two.store.Get("a");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ((*got)->weights, MakeWeightSet("a")->weights);
}

TEST_F(RedisStoreTest, ASetInUseLivesOnAndAnUnusedOneExpires) {
  RedisStoreOptions options;
  options.ttl = absl::Seconds(2);  // longer than a busy machine stalls
  Client client(server_, kTimeout, options);
  ASSERT_TRUE(client.store.Put(MakeWeightSet("a")).ok());
  ASSERT_TRUE(client.store.Put(MakeWeightSet("b")).ok());
  for (int i = 0; i < 12; ++i) {
    absl::SleepFor(options.ttl / 8);
    EXPECT_TRUE(client.store.Get("a").ok());
  }
  EXPECT_TRUE(absl::IsNotFound(client.store.Get("b").status()));
  const auto list = client.store.List("", 10);
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->size(), 1);
}

TEST_F(RedisStoreTest, DamagedBytesAreNeverServedAndAreDropped) {
  Client client(server_);
  const int64_t size = [&] {
    EXPECT_TRUE(client.store.Put(MakeWeightSet("a")).ok());
    return client.Number({"STRLEN", "zeroshot:set:a"});
  }();
  // In the header, and in the weights.
  for (const int64_t at : {int64_t{30}, size - 3}) {
    ASSERT_TRUE(client.store.Put(MakeWeightSet("a")).ok());
    const std::string offset = absl::StrCat(at);
    client.Number({"SETRANGE", "zeroshot:set:a", offset, "\x55"});
    EXPECT_TRUE(absl::IsDataLoss(client.store.Get("a").status()));
    EXPECT_TRUE(absl::IsNotFound(client.store.Get("a").status()));
    EXPECT_EQ(client.Number({"EXISTS", "zeroshot:set:a"}), 0);
  }
}

TEST_F(RedisStoreTest, AMarkOfDeletionStaysUntilTheSetIsPutAgain) {
  Client one(server_), two(server_);
  ASSERT_TRUE(one.store.Put(MakeWeightSet("a")).ok());
  ASSERT_TRUE(one.store.Delete("a").ok());
  EXPECT_TRUE(absl::IsNotFound(two.store.Touch("a")));
  ASSERT_TRUE(one.store.MarkDeleted("a").ok());
  EXPECT_TRUE(absl::IsAborted(two.store.Touch("a")));
  EXPECT_TRUE(absl::IsNotFound(two.store.Get("a").status()));
  ASSERT_TRUE(two.store.Put(MakeWeightSet("a")).ok());
  EXPECT_TRUE(one.store.Touch("a").ok());
}

TEST_F(RedisStoreTest, ATooLargeSetIsRefusedWithNumbers) {
  RedisStoreOptions options;
  options.max_set_bytes = 100;
  Client client(server_, kTimeout, options);
  const absl::Status refused = client.store.Put(MakeWeightSet("a"));
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("100"));
  EXPECT_EQ(client.Number({"DBSIZE"}), 0);
}

TEST_F(RedisStoreTest, ALargeSetTravelsWhole) {
  Client client(server_, absl::Seconds(30));
  auto set = std::make_shared<WeightSet>(*MakeWeightSet("a"));
  set->embedding_dim = 1 << 20;
  set->weights.assign(2 << 20, 0.5f);
  ASSERT_TRUE(client.store.Put(set).ok());
  const auto got = client.store.Get("a");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ((*got)->weights, set->weights);
  // Nothing half written is left.
  EXPECT_EQ(client.Number({"DBSIZE"}), 2);
}

TEST_F(RedisStoreTest, OnASlowLinkASetTakesLongerThanTheTimeoutBothWays) {
  testing::SlowProxy link(server_.port(), 2'000'000);
  RedisOptions options = Client::Options(server_, absl::Seconds(1));
  options.port = link.port();
  Client slow(options);
  auto set = std::make_shared<WeightSet>(*MakeWeightSet("a"));
  set->embedding_dim = 1 << 19;
  set->weights.assign(1 << 20, 0.5f);
  absl::Time start = absl::Now();
  absl::Status put = slow.store.Put(set);
  ASSERT_TRUE(put.ok()) << put;
  EXPECT_GT(absl::Now() - start, options.timeout);
  start = absl::Now();
  const auto got = slow.store.Get("a");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_GT(absl::Now() - start, options.timeout);
  EXPECT_EQ((*got)->weights, set->weights);
}

TEST_F(RedisStoreTest, ASlowServerHoldsNobodyLongerThanTheTimeout) {
  Client client(server_, absl::Milliseconds(300));
  ASSERT_TRUE(client.store.Put(MakeWeightSet("a")).ok());
  server_.Freeze();
  absl::Time start = absl::Now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(client.store.Get("a").status()));
  EXPECT_LT(absl::Now() - start, absl::Seconds(2));
  // While it is not tried again it costs nothing at all.
  start = absl::Now();
  EXPECT_TRUE(absl::IsUnavailable(client.store.Get("a").status()));
  EXPECT_LT(absl::Now() - start, absl::Milliseconds(90));
  server_.Thaw();
  absl::SleepFor(absl::Milliseconds(300));
  EXPECT_TRUE(client.store.Get("a").ok());
}

TEST_F(RedisStoreTest, ARestartOfRedisIsSurvived) {
  Client client(server_);
  ASSERT_TRUE(client.store.Put(MakeWeightSet("a")).ok());
  server_.Kill();
  EXPECT_TRUE(absl::IsUnavailable(client.store.Get("a").status()));
  server_.Start();
  absl::SleepFor(absl::Milliseconds(300));
  EXPECT_TRUE(absl::IsNotFound(client.store.Get("a").status()));
  EXPECT_TRUE(client.store.Put(MakeWeightSet("a")).ok());
  // Also if nobody asked while it was away.
  server_.Kill();
  server_.Start();
  EXPECT_TRUE(client.store.Put(MakeWeightSet("b")).ok());
}

TEST_F(RedisStoreTest, AFullRedisIsUnavailable) {
  Client client(server_);
  client.Number({"CONFIG", "SET", "maxmemory", "1"});
  EXPECT_TRUE(absl::IsUnavailable(client.store.Put(MakeWeightSet("a"))));
  client.Number({"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_TRUE(client.store.Put(MakeWeightSet("a")).ok());
}

TEST_F(RedisStoreTest, AsATierItIsPassedOverWhileItIsAway) {
  Client client(server_);
  MemoryStore memory(1 << 20);
  int changes = 0;
  TieredStore tiers(
      {{"memory", &memory}, {"redis", &client.store}},
      [&](const std::string&, const absl::Status&) { ++changes; });
  server_.Kill();
  ASSERT_TRUE(tiers.Put(MakeWeightSet("a")).ok());
  EXPECT_TRUE(tiers.Get("a").ok());
  EXPECT_TRUE(absl::IsNotFound(tiers.Get("b").status()));
  EXPECT_EQ(changes, 1);
}

TEST_F(RedisStoreTest, ALeaseHasOneOwnerAndRunsOut) {
  Client one(server_), two(server_);
  EXPECT_TRUE(*one.store.TakeLease("a"));
  EXPECT_TRUE(*one.store.TakeLease("a"));
  EXPECT_FALSE(*two.store.TakeLease("a"));
  EXPECT_TRUE(*two.store.TakeLease("b"));
  two.store.ReleaseLease("a");  // not its own
  EXPECT_FALSE(*two.store.TakeLease("a"));
  const int64_t left = one.Number({"PTTL", "zeroshot:lease:a"});
  EXPECT_GT(left, 0);
  EXPECT_LE(left, absl::ToInt64Milliseconds(WeightStore::kLeaseLasts));
  one.store.ReleaseLease("a");
  EXPECT_TRUE(*two.store.TakeLease("a"));
}

// Servers that share a Redis, each with a model of its own.
class SharedBuildTest : public RedisStoreTest {
 protected:
  struct Replica {
    explicit Replica(const testing::RedisServer& server) : client(server) {}
    absl::StatusOr<zeroshot::BuildResult> Build(
        const base::Caller& caller = {}) {
      zeroshot::ClassifierSpec spec;
      spec.classes = {{"cat", {}}, {"dog", {}}};
      return builder.Build(spec, caller, nullptr);
    }
    clip::FakeModel model;
    MemoryStore memory{1 << 20};
    Client client;
    TieredStore store{{{"memory", &memory}, {"redis", &client.store}}, nullptr};
    zeroshot::WeightSetBuilder builder{&model, &store, zeroshot::BuildLimits(),
                                       4};
  };
};

TEST_F(SharedBuildTest, ASpecAskedOfAllServersAtOnceIsBuiltOnce) {
  Replica replicas[3] = {Replica(server_), Replica(server_), Replica(server_)};
  for (Replica& replica : replicas) replica.model.CloseGate();
  std::vector<std::thread> callers;
  std::atomic<int> built{0}, cached{0};
  for (int i = 0; i < 12; ++i) {
    callers.emplace_back([&, i] {
      const auto result = replicas[i % 3].Build();
      ASSERT_TRUE(result.ok()) << result.status();
      ++(result->cached ? cached : built);
    });
  }
  absl::SleepFor(absl::Milliseconds(500));
  for (Replica& replica : replicas) replica.model.OpenGate();
  for (std::thread& caller : callers) caller.join();
  int text_calls = 0;
  for (Replica& replica : replicas) text_calls += replica.model.text_calls();
  EXPECT_EQ(text_calls, 1);
  EXPECT_EQ(built + cached, 12);
}

TEST_F(SharedBuildTest, AnotherTakesOverFromABuilderThatDied) {
  Replica replica(server_);
  Client dead(server_);
  const auto id = replica.Build()->set->id;
  ASSERT_TRUE(replica.store.Delete(id).ok());
  ASSERT_TRUE(*dead.store.TakeLease(id));
  std::thread caller([&] { EXPECT_TRUE(replica.Build().ok()); });
  absl::SleepFor(absl::Milliseconds(300));
  // As if its time had run out.
  dead.Number({"PEXPIRE", absl::StrCat("zeroshot:lease:", id), "200"});
  caller.join();
  EXPECT_TRUE(replica.client.store.Get(id).ok());
}

TEST_F(SharedBuildTest, WhoWaitsForAnothersBuildMayLeave) {
  Replica replica(server_);
  Client other(server_);
  const auto id = replica.Build()->set->id;
  ASSERT_TRUE(replica.store.Delete(id).ok());
  ASSERT_TRUE(*other.store.TakeLease(id));
  base::Caller caller;
  caller.deadline = base::MonotonicNow() + absl::Milliseconds(300);
  EXPECT_TRUE(absl::IsDeadlineExceeded(replica.Build(caller).status()));
}

TEST_F(SharedBuildTest, WhileRedisIsAwayEachBuildsItsOwn) {
  Replica one(server_), two(server_);
  server_.Kill();
  const auto first = one.Build(), second = two.Build();
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(first->set->id, second->set->id);
  EXPECT_EQ(first->set->weights, second->set->weights);
}

TEST(RedisLoginTest, APasswordIsAskedForAndAccepted) {
  testing::RedisServer server({"--requirepass", "pass word"});
  EXPECT_TRUE(
      absl::IsUnavailable(Client(server).store.Put(MakeWeightSet("a"))));
  const std::string address = absl::StrCat("127.0.0.1:", server.port());
  for (const char* login : {":pass%20word@", "default:pass%20word@"}) {
    RedisOptions options =
        *ParseRedisUrl(absl::StrCat("redis://", login, address, "/3"));
    Client client(options);
    EXPECT_TRUE(client.store.Put(MakeWeightSet("a")).ok());
    EXPECT_TRUE(client.store.Get("a").ok());
  }
  Client wrong(*ParseRedisUrl(absl::StrCat("redis://:no@", address)));
  EXPECT_TRUE(absl::IsUnavailable(wrong.store.Get("a").status()));
}

TEST(RedisTlsTest, TheServersCertificateIsChecked) {
  const std::string folder = testing_certificates::NewFolder();
  const testing_certificates::Authority authority(folder);
  authority.Sign("redis");
  testing::RedisServer server(
      {"--tls-cert-file", authority.CertFile("redis"), "--tls-key-file",
       authority.KeyFile("redis"), "--tls-ca-cert-file", authority.CaFile(),
       "--tls-auth-clients", "no"},
      /*tls=*/true);
  RedisOptions options = Client::Options(server);
  options.ca_file = authority.CaFile();
  Client client(options);
  ASSERT_TRUE(client.store.Put(MakeWeightSet("a")).ok());
  EXPECT_TRUE(client.store.Get("a").ok());
  auto large = std::make_shared<WeightSet>(*MakeWeightSet("b"));
  large->embedding_dim = 1 << 19;
  large->weights.assign(1 << 20, 0.25f);
  ASSERT_TRUE(client.store.Put(large).ok());
  const auto got = client.store.Get("b");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ((*got)->weights, large->weights);

  options.ca_file = "";  // the system's authorities did not sign it
  EXPECT_TRUE(absl::IsUnavailable(Client(options).store.Get("a").status()));
  options.ca_file = folder + "/nothing";
  EXPECT_TRUE(absl::IsInvalidArgument(RedisClient::Make(options).status()));
  options.tls = false;  // plain text to a TLS port
  EXPECT_FALSE(Client(options).store.Get("a").ok());
}

TEST_F(RedisStoreTest, ANameLivesAsLongAsItsSet) {
  RedisStoreOptions options;
  options.ttl = absl::Seconds(2);  // longer than a busy machine stalls
  Client one(server_, kTimeout, options), two(server_, kTimeout, options);
  ASSERT_TRUE(one.store.Put(MakeWeightSet("a")).ok());
  ASSERT_TRUE(GiveDisplayName(&one.store, "a", "pets").ok());
  EXPECT_EQ(two.store.GetDisplayName("a")->text, "pets");
  const absl::Time until = absl::Now() + 3 * options.ttl;
  bool touch = false;
  while (absl::Now() < until) {
    touch = !touch;
    if (touch) {
      ASSERT_TRUE(one.store.Touch("a").ok());
    } else {
      ASSERT_TRUE(two.store.Get("a").ok());
    }
    absl::SleepFor(absl::Milliseconds(50));
  }
  EXPECT_EQ(two.store.GetDisplayName("a")->text, "pets");
  while (one.Number({"EXISTS", "zeroshot:set:a"}) == 1) {
    absl::SleepFor(absl::Milliseconds(50));
  }
  absl::SleepFor(absl::Milliseconds(100));
  EXPECT_EQ(one.Number({"EXISTS", "zeroshot:name:a"}), 0);
}

TEST_F(RedisStoreTest, ANameThatIsNotSignedIsNone) {
  RedisStoreOptions options;
  options.keys = {"key"};
  Client plain(server_), keyed(server_, kTimeout, options);
  ASSERT_TRUE(keyed.store.Put(MakeWeightSet("a")).ok());
  ASSERT_TRUE(GiveDisplayName(&plain.store, "a", "not ours").ok());
  EXPECT_EQ(keyed.store.GetDisplayName("a")->text, "");
  EXPECT_EQ(plain.store.GetDisplayName("a")->text, "not ours");
}

}  // namespace
}  // namespace stores
