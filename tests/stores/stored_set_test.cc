#include "stores/stored_set.h"

#include "clip/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/stores/make_weight_set.h"

namespace stores {
namespace {

std::shared_ptr<WeightSet> MakeFullSet() {
  auto set = std::make_shared<WeightSet>(*MakeWeightSet("a"));
  set->class_names = {"Katze \"Minz\"", "\xe7\x8a\xac\n"};
  set->templates = {"a photo of a {}"};
  set->own_prompts = {{}, {"my dog", "a dog"}};
  set->examples = {std::nullopt, ClassExamples{"9f\"86", 3, 0.3f}};
  return set;
}

absl::StatusOr<std::shared_ptr<const WeightSet>> Parse(
    const std::string& file, absl::string_view id = "a",
    const StoreKeys& keys = {}) {
  return ReadWeightSet(static_cast<int64_t>(file.size()), id, keys,
                       [&file](int64_t offset, absl::Span<char> out) {
                         file.copy(out.data(), out.size(), offset);
                         return absl::OkStatus();
                       });
}

std::string Serialize(const WeightSet& set, const StoreKeys& keys = {}) {
  const absl::string_view weights = WeightBytes(set);
  return SerializeHeader(set, keys).append(weights.data(), weights.size());
}

TEST(StoredSetTest, GivesBackEverything) {
  const auto set = MakeFullSet();
  const auto parsed = Parse(Serialize(*set));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ((*parsed)->class_names, set->class_names);
  EXPECT_EQ((*parsed)->templates, set->templates);
  EXPECT_EQ((*parsed)->own_prompts, set->own_prompts);
  EXPECT_EQ((*parsed)->examples, set->examples);
  EXPECT_EQ((*parsed)->num_examples(), 3);
  EXPECT_EQ((*parsed)->weights, set->weights);
  EXPECT_EQ((*parsed)->create_time, set->create_time);
}

TEST(StoredSetTest, IsASafetensorsFile) {
  const auto set = MakeFullSet();
  const std::string file = Serialize(*set);
  const auto tensors = clip::ParseSafetensors(absl::MakeConstSpan(
      reinterpret_cast<const uint8_t*>(file.data()), file.size()));
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 1);
  EXPECT_EQ(tensors->begin()->first, "weights");
  EXPECT_EQ(tensors->begin()->second.shape, (std::vector<int64_t>{2, 2}));
}

TEST(StoredSetTest, TheHeaderAloneTellsTheSpecification) {
  const auto set = MakeFullSet();
  const auto header = ParseHeader(SerializeHeader(*set), "a");
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->set->class_names, set->class_names);
  EXPECT_EQ(header->set->own_prompts, set->own_prompts);
  EXPECT_TRUE(header->set->weights.empty());
  EXPECT_EQ(header->num_weights, 4);
}

// A flipped bit is never served: it is found, or (in the padding, or where
// JSON has two spellings) changes nothing.
TEST(StoredSetTest, NoFlippedBitIsServed) {
  const auto set = MakeFullSet();
  const std::string file = Serialize(*set);
  int served = 0;
  for (size_t i = 0; i < file.size() * 8; ++i) {
    std::string flipped = file;
    flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ (1 << i % 8));
    const auto parsed = Parse(flipped);
    if (!parsed.ok()) {
      EXPECT_TRUE(absl::IsDataLoss(parsed.status())) << parsed.status();
      continue;
    }
    ++served;
    EXPECT_EQ(Serialize(**parsed), file) << "bit " << i;
  }
  EXPECT_LT(served, 64);
}

TEST(StoredSetTest, NoTruncatedFileIsServed) {
  const std::string file = Serialize(*MakeFullSet());
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_TRUE(absl::IsDataLoss(Parse(file.substr(0, size)).status()));
  }
  EXPECT_TRUE(absl::IsDataLoss(Parse(file + "x").status()));
}

TEST(StoredSetTest, AnothersFileIsNotServed) {
  EXPECT_TRUE(absl::IsDataLoss(Parse(Serialize(*MakeFullSet()), "b").status()));
}

TEST(StoredSetTest, WithAKeyOnlyWhatItSignedIsServed) {
  const auto set = MakeFullSet();
  const std::string bare = Serialize(*set), old = Serialize(*set, {"old"}),
                    now = Serialize(*set, {"new", "old"});
  EXPECT_TRUE(Parse(now, "a", {"new"}).ok());
  EXPECT_TRUE(Parse(old, "a", {"new", "old"}).ok());
  for (const std::string& file : {bare, old}) {
    const absl::Status refused = Parse(file, "a", {"new"}).status();
    EXPECT_TRUE(absl::IsDataLoss(refused));
    EXPECT_THAT(std::string(refused.message()),
                ::testing::HasSubstr("not signed"));
  }
  // Whoever changes a set makes a right checksum, but no signature.
  WeightSet forged = *set;
  forged.weights[0] = -1;
  std::string file = Serialize(forged, {"guessed"});
  EXPECT_TRUE(absl::IsDataLoss(Parse(file, "a", {"new"}).status()));
  const std::string mine = R"("hmac":")", field = now.substr(now.find(mine));
  file.replace(file.find(mine), mine.size() + 64,
               field.substr(0, mine.size() + 64));
  EXPECT_TRUE(absl::IsDataLoss(Parse(file, "a", {"new"}).status()));
  // Servers without keys read both.
  EXPECT_TRUE(Parse(now).ok());
  EXPECT_TRUE(Parse(file).ok());
}

TEST(StoredSetTest, AnIdThatIsAPathIsNotPlain) {
  for (const char* id : {"", "..", "a/b", "a.b", "\xc3\xa4", "a b"}) {
    EXPECT_FALSE(IsPlainId(id)) << id;
  }
  EXPECT_FALSE(IsPlainId(std::string(129, 'a')));
  EXPECT_TRUE(IsPlainId("Az09-_"));
}

}  // namespace
}  // namespace stores
