#include "stores/disk_store.h"

#include <sys/stat.h>

#include <chrono>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stores/memory_store.h"
#include "stores/tiered_store.h"
#include "tests/stores/make_weight_set.h"
#include "tests/stores/weight_store_suite.h"
#include "tests/testing/temporary_folder.h"

namespace stores {
namespace {

namespace fs = std::filesystem;

// A store with its folder.
class DiskStoreInAFolder : public WeightStore {
 public:
  absl::StatusOr<std::shared_ptr<const WeightSet>> Get(
      absl::string_view id) override {
    return store_->Get(id);
  }
  absl::StatusOr<std::shared_ptr<const WeightSet>> GetHeader(
      absl::string_view id) override {
    return store_->GetHeader(id);
  }
  absl::Status Put(std::shared_ptr<const WeightSet> set) override {
    return store_->Put(std::move(set));
  }
  absl::Status Touch(absl::string_view id) override {
    return store_->Touch(id);
  }
  absl::Status Delete(absl::string_view id) override {
    return store_->Delete(id);
  }
  absl::StatusOr<DisplayName> GetDisplayName(absl::string_view id) override {
    return store_->GetDisplayName(id);
  }
  absl::Status PutDisplayName(absl::string_view id,
                              const DisplayName& name) override {
    return store_->PutDisplayName(id, name);
  }
  absl::StatusOr<std::vector<WeightSetSummary>> List(absl::string_view after,
                                                     int limit) override {
    return store_->List(after, limit);
  }

 private:
  testing::TemporaryFolder folder_;
  std::unique_ptr<DiskStore> store_ =
      *DiskStore::Open(folder_.path() + "/sets", 1 << 20);
};

std::unique_ptr<WeightStore> MakeRoomyDiskStore() {
  return std::make_unique<DiskStoreInAFolder>();
}

INSTANTIATE_TEST_SUITE_P(DiskStore, WeightStoreTest,
                         ::testing::Values(&MakeRoomyDiskStore));

class DiskStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<DiskStore> Open(int64_t max_bytes = 1 << 20) {
    return *DiskStore::Open(folder_.path(), max_bytes);
  }
  std::string File(const std::string& id) {
    return folder_.path() + "/" + id + ".safetensors";
  }
  int64_t SizeOfOne() {
    EXPECT_TRUE(Open()->Put(MakeWeightSet("a")).ok());
    const int64_t size = static_cast<int64_t>(fs::file_size(File("a")));
    fs::remove(File("a"));
    return size;
  }
  void Flip(const std::string& path, int64_t from_end) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(-from_end, std::ios::end);
    const char byte = static_cast<char>(file.get() ^ 1);
    file.seekp(-from_end, std::ios::end);
    file.put(byte);
  }
  void MakeOld(const std::string& path, int hours) {
    fs::last_write_time(
        path, fs::file_time_type::clock::now() - std::chrono::hours(hours));
  }

  testing::TemporaryFolder folder_;
};

TEST_F(DiskStoreTest, SetsOutliveTheStore) {
  ASSERT_TRUE(Open()->Put(MakeWeightSet("a")).ok());
  const auto store = Open();
  const auto got = store->Get("a");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ((*got)->weights, MakeWeightSet("a")->weights);
  EXPECT_EQ(store->size().sets, 1);
}

TEST_F(DiskStoreTest, TheLeastRecentlyUsedFileGoesFirstAlsoAfterARestart) {
  const int64_t size = SizeOfOne();
  {
    const auto store = Open(2 * size);
    ASSERT_TRUE(store->Put(MakeWeightSet("a")).ok());
    ASSERT_TRUE(store->Put(MakeWeightSet("b")).ok());
    MakeOld(File("a"), 2);
    MakeOld(File("b"), 1);
    ASSERT_TRUE(store->Get("a").ok());
  }
  const auto store = Open(2 * size);
  ASSERT_TRUE(store->Put(MakeWeightSet("c")).ok());
  EXPECT_TRUE(store->Get("a").ok());
  EXPECT_TRUE(absl::IsNotFound(store->Get("b").status()));
  EXPECT_FALSE(fs::exists(File("b")));
  EXPECT_LE(store->size().bytes, 2 * size);
}

TEST_F(DiskStoreTest, ToBeLookedAtIsNotToBeUsed) {
  const auto store = Open();
  ASSERT_TRUE(store->Put(MakeWeightSet("a")).ok());
  MakeOld(File("a"), 2);
  const auto before = fs::last_write_time(File("a"));
  EXPECT_TRUE(store->GetHeader("a").ok());
  EXPECT_TRUE(store->List("", 10).ok());
  EXPECT_EQ(fs::last_write_time(File("a")), before);
  EXPECT_TRUE(store->Get("a").ok());
  EXPECT_NE(fs::last_write_time(File("a")), before);
}

// Prompts are shown to builders alone.
TEST_F(DiskStoreTest, FilesAreTheirOwnersAlone) {
  ASSERT_TRUE(Open()->Put(MakeWeightSet("a")).ok());
  constexpr auto kOwner = fs::perms::owner_read | fs::perms::owner_write;
  EXPECT_EQ(fs::status(File("a")).permissions(), kOwner);
  // Those that an older version wrote too.
  fs::permissions(File("a"), fs::perms::all);
  Open();
  EXPECT_EQ(fs::status(File("a")).permissions(), kOwner);
}

TEST_F(DiskStoreTest, ASmallerBoundIsKeptFromTheStart) {
  const int64_t size = SizeOfOne();
  for (const char* id : {"a", "b", "c"}) {
    ASSERT_TRUE(Open()->Put(MakeWeightSet(id)).ok());
  }
  EXPECT_EQ(Open(size)->size().sets, 1);
}

TEST_F(DiskStoreTest, ASetLargerThanTheStoreIsRefusedAndEvictsNothing) {
  const int64_t size = SizeOfOne();
  const auto store = Open(size);
  ASSERT_TRUE(store->Put(MakeWeightSet("a")).ok());
  auto large = std::make_shared<WeightSet>(*MakeWeightSet("b"));
  large->class_names[0] = std::string(1000, 'x');
  const absl::Status refused = store->Put(large);
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_THAT(std::string(refused.message()),
              ::testing::HasSubstr("--disk_store_bytes"));
  EXPECT_TRUE(store->Get("a").ok());
}

TEST_F(DiskStoreTest, ADamagedFileIsNeverServedAndIsDropped) {
  const auto store = Open();
  for (const int64_t from_end : {1, 16, 200}) {
    ASSERT_TRUE(store->Put(MakeWeightSet("a")).ok());
    Flip(File("a"), from_end);
    EXPECT_TRUE(absl::IsDataLoss(store->Get("a").status()));
    EXPECT_FALSE(fs::exists(File("a")));
    EXPECT_TRUE(absl::IsNotFound(store->Get("a").status()));
    EXPECT_EQ(store->size().bytes, 0);
  }
  ASSERT_TRUE(store->Put(MakeWeightSet("a")).ok());
  fs::resize_file(File("a"), 20);
  EXPECT_TRUE(absl::IsDataLoss(store->Get("a").status()));
}

TEST_F(DiskStoreTest, WhatWasUsedAboveOrTouchedIsNotTheFirstToGo) {
  const int64_t size = SizeOfOne();
  {
    const auto store = Open(2 * size);
    ASSERT_TRUE(store->Put(MakeWeightSet("a")).ok());
    ASSERT_TRUE(store->Put(MakeWeightSet("b")).ok());
    store->NoteUse("a");
    ASSERT_TRUE(store->Put(MakeWeightSet("c")).ok());
    EXPECT_TRUE(store->GetHeader("a").ok());
    EXPECT_TRUE(absl::IsNotFound(store->GetHeader("b").status()));
    MakeOld(File("a"), 2);
    MakeOld(File("c"), 1);
    ASSERT_TRUE(store->Touch("a").ok());
  }
  // A touch counts after a restart too.
  const auto store = Open(2 * size);
  ASSERT_TRUE(store->Put(MakeWeightSet("d")).ok());
  EXPECT_TRUE(store->GetHeader("a").ok());
  EXPECT_TRUE(absl::IsNotFound(store->GetHeader("c").status()));
}

TEST_F(DiskStoreTest, AHeaderThatIsDamagedIsNotToldOf) {
  const auto store = Open();
  ASSERT_TRUE(store->Put(MakeWeightSet("a")).ok());
  Flip(File("a"), 200);
  EXPECT_TRUE(absl::IsDataLoss(store->GetHeader("a").status()));
  EXPECT_FALSE(fs::exists(File("a")));
  EXPECT_TRUE(store->List("", 10)->empty());
}

TEST_F(DiskStoreTest, FindsWhatAnotherServerWrote) {
  const auto mine = Open(), others = Open();
  ASSERT_TRUE(others->Put(MakeWeightSet("a")).ok());
  EXPECT_TRUE(mine->Get("a").ok());
  ASSERT_TRUE(others->Delete("a").ok());
  EXPECT_TRUE(absl::IsNotFound(mine->Get("a").status()));
  EXPECT_EQ(mine->size().sets, 0);
}

TEST_F(DiskStoreTest, RemovesOnlyItsOwnOldUnfinishedFiles) {
  const std::string old = File("a") + ".1.0.unfinished";
  const std::string recent = File("b") + ".1.0.unfinished";
  const std::string foreign = folder_.path() + "/notes.txt";
  for (const std::string& path : {old, recent, foreign}) std::ofstream{path};
  MakeOld(old, 2);
  MakeOld(foreign, 2);
  const auto store = Open();
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(fs::exists(recent));
  EXPECT_TRUE(fs::exists(foreign));
  EXPECT_EQ(store->size().sets, 0);
}

TEST_F(DiskStoreTest, AnIdIsNeverAPath) {
  const auto store = Open();
  std::ofstream(folder_.path() + "/../zeroshot-outside.safetensors");
  EXPECT_TRUE(absl::IsNotFound(store->Get("../zeroshot-outside").status()));
  EXPECT_TRUE(absl::IsNotFound(store->Delete("../zeroshot-outside")));
  EXPECT_TRUE(fs::exists(folder_.path() + "/../zeroshot-outside.safetensors"));
  fs::remove(folder_.path() + "/../zeroshot-outside.safetensors");
  auto set = std::make_shared<WeightSet>(*MakeWeightSet("a"));
  set->id = "../x";
  EXPECT_TRUE(absl::IsInvalidArgument(store->Put(set)));
}

TEST_F(DiskStoreTest, AFolderThatCannotBeMadeIsRefused) {
  const auto opened = DiskStore::Open(folder_.path() + "/no/such", 1);
  EXPECT_TRUE(absl::IsInvalidArgument(opened.status()));
  EXPECT_THAT(std::string(opened.status().message()),
              ::testing::HasSubstr("--disk_store"));
}

TEST_F(DiskStoreTest, AFullOrVanishedDiskIsUnavailable) {
  const auto store = Open();
  fs::remove_all(folder_.path());
  EXPECT_TRUE(absl::IsUnavailable(store->Put(MakeWeightSet("a"))));
}

// A folder in the file's place cannot be removed like a file, not even by root.
TEST_F(DiskStoreTest, WhatCouldNotBeDeletedStillTakesItsBytes) {
  const auto store = Open();
  ASSERT_TRUE(store->Put(MakeWeightSet("a")).ok());
  const int64_t bytes = store->size().bytes;
  ASSERT_GT(bytes, 0);
  fs::remove(File("a"));
  fs::create_directory(File("a"));
  EXPECT_TRUE(absl::IsUnavailable(store->Delete("a")));
  EXPECT_EQ(store->size().bytes, bytes);
  fs::remove(File("a"));
  EXPECT_TRUE(absl::IsNotFound(store->Delete("a")));
  EXPECT_EQ(store->size().bytes, 0);
}

TEST_F(DiskStoreTest, ANameOutlivesARestartAndGoesWithAnEvictedSet) {
  const std::string name = folder_.path() + "/a.name";
  int64_t bytes = 0;
  {
    const auto store = Open();
    ASSERT_TRUE(store->Put(MakeWeightSet("a")).ok());
    ASSERT_TRUE(GiveDisplayName(store.get(), "a", "pets").ok());
    bytes = store->size().bytes;
  }
  EXPECT_EQ(fs::status(name).permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
  const auto store = Open(bytes);  // room for one
  EXPECT_EQ(store->GetDisplayName("a")->text, "pets");
  ASSERT_TRUE(store->Put(MakeWeightSet("b")).ok());
  EXPECT_FALSE(fs::exists(File("a")));
  EXPECT_FALSE(fs::exists(name));
}

TEST_F(DiskStoreTest, ANameThatCouldNotHaveBeenGivenIsNone) {
  const std::string name = folder_.path() + "/a.name";
  const auto store = Open();
  ASSERT_TRUE(store->Put(MakeWeightSet("a")).ok());
  for (const std::string& bytes :
       {std::string(), std::string("00000000000000001 - a\nb"),
        std::string("00000000000000001 - \xff"), std::string("1 - pets"),
        std::string("0000000000000000x - pets"),
        "00000000000000001 - " + std::string(257, 'x'),
        std::string(5000, ' ')}) {
    std::ofstream(name, std::ios::binary) << bytes;
    EXPECT_EQ(store->GetDisplayName("a")->text, "") << bytes;
  }
  std::ofstream(name, std::ios::binary) << "00000000000000001 - pets";
  EXPECT_EQ(store->GetDisplayName("a")->text, "pets");
  // Not signed with the key.
  const auto keyed = *DiskStore::Open(folder_.path(), 1 << 20, {"key"});
  EXPECT_EQ(keyed->GetDisplayName("a")->text, "");
  ASSERT_TRUE(GiveDisplayName(keyed.get(), "a", "mine").ok());
  EXPECT_EQ(keyed->GetDisplayName("a")->text, "mine");
  // Of another set.
  ASSERT_TRUE(keyed->Put(MakeWeightSet("b")).ok());
  fs::copy_file(name, folder_.path() + "/b.name");
  EXPECT_EQ(keyed->GetDisplayName("b")->text, "");
}

TEST_F(DiskStoreTest, ANameWithoutASetGoesAtTheStart) {
  const std::string name = folder_.path() + "/a.name";
  std::ofstream(name) << "00000000000000001 - pets";
  Open();
  EXPECT_FALSE(fs::exists(name));
}

}  // namespace
}  // namespace stores
