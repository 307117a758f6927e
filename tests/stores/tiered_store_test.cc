#include "stores/tiered_store.h"

#include <atomic>
#include <cerrno>
#include <system_error>
#include <thread>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stores/memory_store.h"
#include "tests/stores/make_weight_set.h"
#include "tests/stores/weight_store_suite.h"

namespace stores {
namespace {

// A memory store that fails, throws, or is slow, when told to.
class Flaky : public WeightStore {
 public:
  explicit Flaky(int64_t max_bytes = 1 << 20) : store_(max_bytes) {}

  absl::StatusOr<std::shared_ptr<const WeightSet>> Get(
      absl::string_view id) override {
    ++gets;
    if (throws) throw std::system_error(EAGAIN, std::generic_category());
    absl::SleepFor(absl::Milliseconds(delay_ms.load()));
    if (absl::Status status = Status(); !status.ok()) return status;
    return store_.Get(id);
  }
  absl::StatusOr<std::shared_ptr<const WeightSet>> GetHeader(
      absl::string_view id) override {
    if (absl::Status status = Status(); !status.ok()) return status;
    return store_.GetHeader(id);
  }
  absl::Status Put(std::shared_ptr<const WeightSet> set) override {
    absl::Status status = Status();
    if (puts_fail) status = absl::UnavailableError("full");
    return status.ok() ? store_.Put(std::move(set)) : status;
  }
  absl::Status Touch(absl::string_view id) override {
    ++touches;
    absl::Status status = Status();
    return status.ok() ? store_.Touch(id) : status;
  }
  absl::Status Delete(absl::string_view id) override {
    absl::Status status = Status();
    return status.ok() ? store_.Delete(id) : status;
  }
  absl::StatusOr<DisplayName> GetDisplayName(absl::string_view id) override {
    if (absl::Status status = Status(); !status.ok()) return status;
    return store_.GetDisplayName(id);
  }
  absl::Status PutDisplayName(absl::string_view id,
                              const DisplayName& name) override {
    absl::Status status = Status();
    return status.ok() ? store_.PutDisplayName(id, name) : status;
  }
  absl::StatusOr<std::vector<WeightSetSummary>> List(absl::string_view after,
                                                     int limit) override {
    if (absl::Status status = Status(); !status.ok()) return status;
    return store_.List(after, limit);
  }
  StoreSize size() override { return store_.size(); }

  std::atomic<absl::StatusCode> fails{absl::StatusCode::kOk};
  std::atomic<bool> puts_fail{false}, throws{false};
  std::atomic<int> delay_ms{0};
  std::atomic<int> gets{0}, touches{0};

 private:
  absl::Status Status() { return absl::Status(fails.load(), "told to"); }

  MemoryStore store_;
};

// Two tiers of its own.
struct OwnTiers : Flaky {
  OwnTiers() {}
  absl::StatusOr<std::shared_ptr<const WeightSet>> Get(
      absl::string_view id) override {
    return tiers.Get(id);
  }
  absl::StatusOr<std::shared_ptr<const WeightSet>> GetHeader(
      absl::string_view id) override {
    return tiers.GetHeader(id);
  }
  absl::Status Put(std::shared_ptr<const WeightSet> set) override {
    return tiers.Put(std::move(set));
  }
  absl::Status Touch(absl::string_view id) override { return tiers.Touch(id); }
  absl::Status Delete(absl::string_view id) override {
    return tiers.Delete(id);
  }
  absl::StatusOr<DisplayName> GetDisplayName(absl::string_view id) override {
    return tiers.GetDisplayName(id);
  }
  absl::Status PutDisplayName(absl::string_view id,
                              const DisplayName& name) override {
    return tiers.PutDisplayName(id, name);
  }
  absl::StatusOr<std::vector<WeightSetSummary>> List(absl::string_view after,
                                                     int limit) override {
    return tiers.List(after, limit);
  }
  // Room for one set only: most come from below.
  MemoryStore top{MakeWeightSet("a")->SizeBytes()};
  MemoryStore below{1 << 20};
  TieredStore tiers{{{"memory", &top}, {"disk", &below}}, nullptr};
};

std::unique_ptr<WeightStore> MakeTwoTiers() {
  return std::make_unique<OwnTiers>();
}

INSTANTIATE_TEST_SUITE_P(TieredStore, WeightStoreTest,
                         ::testing::Values(&MakeTwoTiers));

class TieredStoreTest : public ::testing::Test {
 protected:
  Flaky memory_, disk_, redis_;
  std::vector<std::string> changes_;
  TieredStore store_{
      {{"memory", &memory_}, {"disk", &disk_}, {"redis", &redis_}},
      [this](const std::string& tier, const absl::Status& status) {
        changes_.push_back(
            tier + " " + std::string(absl::StatusCodeToString(status.code())));
      }};
};

TEST_F(TieredStoreTest, ASetFoundBelowIsPutIntoTheTiersAbove) {
  ASSERT_TRUE(redis_.Put(MakeWeightSet("a")).ok());
  ASSERT_TRUE(store_.Get("a").ok());
  EXPECT_TRUE(memory_.Get("a").ok());
  EXPECT_TRUE(disk_.Get("a").ok());
  const int below = redis_.gets;
  ASSERT_TRUE(store_.Get("a").ok());
  EXPECT_EQ(redis_.gets, below);
}

TEST_F(TieredStoreTest, PutsIntoEveryTier) {
  ASSERT_TRUE(store_.Put(MakeWeightSet("a")).ok());
  for (Flaky* tier : {&memory_, &disk_, &redis_}) {
    EXPECT_TRUE(tier->Get("a").ok());
  }
}

TEST_F(TieredStoreTest, AFailingTierIsPassedOverAndToldOfOnceAnOutage) {
  ASSERT_TRUE(redis_.Put(MakeWeightSet("a")).ok());
  disk_.fails = absl::StatusCode::kUnavailable;
  EXPECT_TRUE(store_.Get("a").ok());
  EXPECT_TRUE(store_.Put(MakeWeightSet("b")).ok());
  EXPECT_TRUE(absl::IsNotFound(store_.Get("nothing").status()));
  EXPECT_TRUE(store_.List("", 10).ok());
  EXPECT_THAT(changes_, ::testing::ElementsAre("disk UNAVAILABLE"));
  EXPECT_EQ(store_.stats()[1].errors, 5);
  disk_.fails = absl::StatusCode::kOk;
  EXPECT_TRUE(absl::IsNotFound(store_.Get("nothing").status()));
  EXPECT_THAT(changes_, ::testing::ElementsAre("disk UNAVAILABLE", "disk OK"));
}

TEST_F(TieredStoreTest, ATierThatOnlyTakesNothingIsToldOfOnceToo) {
  disk_.puts_fail = true;
  for (const char* id : {"a", "b", "c"}) {
    EXPECT_TRUE(absl::IsNotFound(store_.Get(id).status()));
    EXPECT_TRUE(store_.Put(MakeWeightSet(id)).ok());
  }
  EXPECT_THAT(changes_, ::testing::ElementsAre("disk UNAVAILABLE"));
  EXPECT_EQ(store_.stats()[1].errors, 3);
  disk_.puts_fail = false;
  EXPECT_TRUE(store_.Put(MakeWeightSet("d")).ok());
  EXPECT_THAT(changes_, ::testing::ElementsAre("disk UNAVAILABLE", "disk OK"));
}

TEST_F(TieredStoreTest, DamagedBytesArePassedOverAndToldOf) {
  ASSERT_TRUE(redis_.Put(MakeWeightSet("a")).ok());
  disk_.fails = absl::StatusCode::kDataLoss;
  EXPECT_TRUE(store_.Get("a").ok());
  EXPECT_THAT(changes_, ::testing::Contains("disk DATA_LOSS"));
}

TEST_F(TieredStoreTest, WhatAFailingTierMayStillHaveIsNotDeleted) {
  ASSERT_TRUE(store_.Put(MakeWeightSet("a")).ok());
  redis_.fails = absl::StatusCode::kUnavailable;
  EXPECT_TRUE(absl::IsUnavailable(store_.Delete("a")));
  redis_.fails = absl::StatusCode::kOk;
  EXPECT_TRUE(store_.Delete("a").ok());
  EXPECT_TRUE(absl::IsNotFound(store_.Delete("a")));
}

TEST_F(TieredStoreTest, AnExceptionBelowLeavesNobodyWaiting) {
  disk_.throws = true;
  for (int i = 0; i < 2; ++i)
    EXPECT_TRUE(absl::IsInternal(store_.Get("a").status()));
  disk_.throws = false;
  EXPECT_TRUE(absl::IsNotFound(store_.Get("a").status()));
}

TEST_F(TieredStoreTest, ListsWhatAnyTierHasOnce) {
  ASSERT_TRUE(store_.Put(MakeWeightSet("b")).ok());
  ASSERT_TRUE(redis_.Put(MakeWeightSet("a")).ok());
  ASSERT_TRUE(disk_.Put(MakeWeightSet("c")).ok());
  const auto list = store_.List("", 2);
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->size(), 2);
  EXPECT_EQ((*list)[0].id, "a");
  EXPECT_EQ((*list)[1].id, "b");
}

TEST_F(TieredStoreTest, WhatDoesNotPassTheCheckIsDamageAndGoes) {
  store_.SetCheck([](const WeightSet& set) {
    return set.id == "b" ? absl::DataLossError("forged") : absl::OkStatus();
  });
  for (const char* id : {"a", "b"}) {
    ASSERT_TRUE(disk_.Put(MakeWeightSet(id)).ok());
    ASSERT_TRUE(redis_.Put(MakeWeightSet(id)).ok());
  }
  EXPECT_TRUE(store_.Get("a").ok());
  EXPECT_TRUE(absl::IsNotFound(store_.Get("b").status()));
  EXPECT_TRUE(absl::IsNotFound(disk_.Get("b").status()));
  EXPECT_TRUE(absl::IsNotFound(redis_.Get("b").status()));
  EXPECT_EQ(store_.stats()[1].errors, 1);
  EXPECT_EQ(store_.stats()[2].errors, 1);
  // Headers likewise; memory's own are ours.
  ASSERT_TRUE(disk_.Put(MakeWeightSet("b")).ok());
  EXPECT_TRUE(absl::IsNotFound(store_.GetHeader("b").status()));
  EXPECT_TRUE(absl::IsNotFound(disk_.GetHeader("b").status()));
  ASSERT_TRUE(store_.Put(MakeWeightSet("b")).ok());
  EXPECT_TRUE(store_.Get("b").ok());
  EXPECT_TRUE(store_.GetHeader("b").ok());
}

TEST_F(TieredStoreTest, ASetTooLargeForMemoryIsNotTaken) {
  Flaky small(1);
  TieredStore store({{"memory", &small}, {"disk", &disk_}}, nullptr);
  EXPECT_TRUE(absl::IsResourceExhausted(store.Put(MakeWeightSet("a"))));
  // But one that is there already is served.
  ASSERT_TRUE(disk_.Put(MakeWeightSet("b")).ok());
  EXPECT_TRUE(store.Get("b").ok());
}

TEST_F(TieredStoreTest, ManyWhoAskAtOnceReadFromBelowOnce) {
  ASSERT_TRUE(redis_.Put(MakeWeightSet("a")).ok());
  redis_.delay_ms = 300;
  std::vector<std::thread> threads;
  std::atomic<int> found{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] { found += store_.Get("a").ok(); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(found, 8);
  EXPECT_EQ(redis_.gets, 1);
}

TEST_F(TieredStoreTest, CountsHitsAndMissesByTier) {
  ASSERT_TRUE(disk_.Put(MakeWeightSet("a")).ok());
  ASSERT_TRUE(store_.Get("a").ok());
  ASSERT_TRUE(store_.Get("a").ok());
  (void)store_.Get("nothing");
  const auto stats = store_.stats();
  EXPECT_EQ(stats[0].name, "memory");
  EXPECT_EQ(stats[0].hits, 1);
  EXPECT_EQ(stats[0].misses, 2);
  EXPECT_EQ(stats[1].hits, 1);
  EXPECT_EQ(stats[2].misses, 1);
}

// A name that is found below and copied up is no change.
TEST_F(TieredStoreTest, CountsWhatChangesNamesHere) {
  ASSERT_TRUE(store_.Put(MakeWeightSet("a")).ok());
  EXPECT_EQ(store_.naming_changes(), 0);
  ASSERT_TRUE(GiveDisplayName(&store_, "a", "pets").ok());
  EXPECT_EQ(store_.naming_changes(), 1);
  ASSERT_TRUE(memory_.Delete("a").ok());
  ASSERT_TRUE(store_.Get("a").ok());
  EXPECT_EQ(memory_.GetDisplayName("a")->text, "pets");
  EXPECT_EQ(store_.naming_changes(), 1);
  ASSERT_TRUE(store_.Delete("a").ok());
  EXPECT_EQ(store_.naming_changes(), 2);
}

TEST_F(TieredStoreTest, ANameOutlivesATierThatLostItsSetAndOneThatFailed) {
  ASSERT_TRUE(store_.Put(MakeWeightSet("a")).ok());
  ASSERT_TRUE(GiveDisplayName(&store_, "a", "pets").ok());
  for (Flaky* tier : {&memory_, &disk_, &redis_}) {
    EXPECT_EQ(tier->GetDisplayName("a")->text, "pets");
  }
  // Read from below, the set comes with its name.
  ASSERT_TRUE(memory_.Delete("a").ok());
  ASSERT_TRUE(store_.Get("a").ok());
  EXPECT_EQ(memory_.GetDisplayName("a")->text, "pets");
  // Put again where it was lost, too.
  ASSERT_TRUE(redis_.Delete("a").ok());
  ASSERT_TRUE(store_.Put(MakeWeightSet("a")).ok());
  EXPECT_EQ(redis_.GetDisplayName("a")->text, "pets");
  // While Redis fails a name is given to the others, and counts later.
  redis_.fails = absl::StatusCode::kUnavailable;
  ASSERT_TRUE(GiveDisplayName(&store_, "a", "animals").ok());
  EXPECT_EQ(store_.GetDisplayName("a")->text, "animals");
  redis_.fails = absl::StatusCode::kOk;
  EXPECT_EQ(redis_.GetDisplayName("a")->text, "pets");
  EXPECT_EQ(store_.GetDisplayName("a")->text, "animals");
  // What another server gave through Redis counts here.
  ASSERT_TRUE(GiveDisplayName(&redis_, "a", "older than animals?").ok());
  DisplayName later = *store_.GetDisplayName("a");
  later = {"from there", later.given_us + 1};
  ASSERT_TRUE(redis_.PutDisplayName("a", later).ok());
  EXPECT_EQ(store_.GetDisplayName("a")->text, "from there");
  // Also when Redis has forgotten it.
  ASSERT_TRUE(redis_.Delete("a").ok());
  EXPECT_EQ(store_.GetDisplayName("a")->text, "from there");
}

}  // namespace
}  // namespace stores
