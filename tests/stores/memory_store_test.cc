#include "stores/memory_store.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/stores/make_weight_set.h"
#include "tests/stores/weight_store_suite.h"

namespace stores {

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
}  // namespace stores
