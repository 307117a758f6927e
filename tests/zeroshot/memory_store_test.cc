#include "zeroshot/memory_store.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/zeroshot/make_weight_set.h"
#include "tests/zeroshot/weight_store_suite.h"

namespace zeroshot {

std::unique_ptr<WeightStore> MakeRoomyMemoryStore() {
  return std::make_unique<MemoryStore>(1 << 20);
}

INSTANTIATE_TEST_SUITE_P(MemoryStore, WeightStoreTest,
                         ::testing::Values(&MakeRoomyMemoryStore));

namespace {

TEST(MemoryStoreTest, TheLeastRecentlyUsedSetGoesFirst) {
  const int64_t size = MakeWeightSet("a")->SizeBytes();
  MemoryStore store(2 * size);
  ASSERT_TRUE(store.Put(MakeWeightSet("a")).ok());
  ASSERT_TRUE(store.Put(MakeWeightSet("b")).ok());
  ASSERT_TRUE(store.Get("a").ok());
  ASSERT_TRUE(store.Put(MakeWeightSet("c")).ok());
  EXPECT_TRUE(store.Get("a").ok());
  EXPECT_TRUE(store.Get("c").ok());
  EXPECT_TRUE(absl::IsNotFound(store.Get("b").status()));
}

TEST(MemoryStoreTest, ToBeLookedAtIsNotToBeUsed) {
  const int64_t size = MakeWeightSet("a")->SizeBytes();
  MemoryStore store(2 * size);
  ASSERT_TRUE(store.Put(MakeWeightSet("a")).ok());
  ASSERT_TRUE(store.Put(MakeWeightSet("b")).ok());
  ASSERT_TRUE(store.GetHeader("a").ok());
  ASSERT_TRUE(store.List("", 10).ok());
  ASSERT_TRUE(store.Put(MakeWeightSet("c")).ok());
  EXPECT_TRUE(absl::IsNotFound(store.Get("a").status()));
  EXPECT_TRUE(store.Get("b").ok());
}

TEST(MemoryStoreTest, ASetInUseOutlivesItsEviction) {
  MemoryStore store(MakeWeightSet("a")->SizeBytes());
  ASSERT_TRUE(store.Put(MakeWeightSet("a")).ok());
  const std::shared_ptr<const WeightSet> used = *store.Get("a");
  ASSERT_TRUE(store.Put(MakeWeightSet("b")).ok());
  EXPECT_FALSE(store.Get("a").ok());
  EXPECT_EQ(used->weights, MakeWeightSet("a")->weights);
}

TEST(MemoryStoreTest, ASetLargerThanTheStoreIsRefusedAndEvictsNothing) {
  const int64_t size = MakeWeightSet("a")->SizeBytes();
  MemoryStore store(size);
  ASSERT_TRUE(store.Put(MakeWeightSet("a")).ok());
  auto large = std::make_shared<WeightSet>(*MakeWeightSet("b"));
  large->weights.resize(1000);
  const absl::Status refused = store.Put(large);
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_THAT(std::string(refused.message()),
              ::testing::HasSubstr(std::to_string(size)));
  EXPECT_TRUE(store.Get("a").ok());
}

TEST(MemoryStoreTest, TheHeaderOutlivesTheWeights) {
  // Room for four sets; headers may take a quarter of one, or two small ones.
  const auto large = [](const std::string& id) {
    auto set = std::make_shared<WeightSet>(*MakeWeightSet(id));
    set->embedding_dim = 10'000;
    set->weights.resize(20'000);
    return set;
  };
  MemoryStore store(2 * large("a")->SizeBytes());
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(store.Put(large(id)).ok());
  EXPECT_TRUE(absl::IsNotFound(store.Get("a").status()));
  const auto header = store.GetHeader("a");
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ((*header)->templates, large("a")->templates);
  EXPECT_TRUE((*header)->weights.empty());
  // A header alone is no set.
  EXPECT_EQ(store.List("", 10)->size(), 2);
  // It goes when the set is there again, and when it is deleted.
  ASSERT_TRUE(store.Delete("a").ok());
  EXPECT_TRUE(absl::IsNotFound(store.GetHeader("a").status()));
  EXPECT_TRUE(absl::IsNotFound(store.Delete("a")));
}

TEST(MemoryStoreTest, HeadersHaveABoundOfTheirOwn) {
  const int64_t size = MakeWeightSet("a")->SizeBytes();
  MemoryStore store(3 * kHeaderShare * size);
  const int kMany = 10 * kHeaderShare;
  for (int i = 0; i < kMany; ++i) {
    ASSERT_TRUE(store.Put(MakeWeightSet(std::to_string(100 + i))).ok());
  }
  int headers = 0;
  for (int i = 0; i < kMany; ++i) {
    const std::string id = std::to_string(100 + i);
    headers += !store.Get(id).ok() && store.GetHeader(id).ok();
  }
  EXPECT_EQ(headers, 3);
}

TEST(MemoryStoreTest, DeletingMakesRoom) {
  MemoryStore store(MakeWeightSet("a")->SizeBytes());
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(store.Put(MakeWeightSet("a")).ok());
    ASSERT_TRUE(store.Delete("a").ok());
  }
  ASSERT_TRUE(store.Put(MakeWeightSet("b")).ok());
  EXPECT_TRUE(store.Get("b").ok());
}

}  // namespace
}  // namespace zeroshot
