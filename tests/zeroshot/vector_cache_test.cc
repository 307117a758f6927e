#include "zeroshot/vector_cache.h"

#include <algorithm>
#include <cmath>
#include <list>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stores/memory_store.h"
#include "tests/testing/fake_model.h"
#include "zeroshot/weight_set_builder.h"

namespace zeroshot {
namespace {

using Row = std::vector<float>;

bool Knows(VectorCache* cache, const std::string& key) {
  Row row(1000);
  return cache->Find(key, row.data());
}

TEST(VectorCacheTest, GivesBackWhatWasPut) {
  VectorCache cache(1 << 20);
  cache.Put("a", Row{1, 2});
  cache.Put("b", Row{3, 4});
  Row found(2);
  EXPECT_TRUE(cache.Find("a", found.data()));
  EXPECT_EQ(found, Row({1, 2}));
  EXPECT_TRUE(cache.Find("b", found.data()));
  EXPECT_EQ(found, Row({3, 4}));
  EXPECT_FALSE(Knows(&cache, "c"));
  EXPECT_EQ(cache.stats().hits, 2);
  EXPECT_EQ(cache.stats().misses, 1);
  EXPECT_EQ(cache.stats().max_bytes, 1 << 20);
}

TEST(VectorCacheTest, StaysWithinItsBytesAndDropsTheLeastRecentlyUsed) {
  VectorCache one(1 << 20);
  one.Put("a", Row(100));
  const int64_t size = one.stats().bytes;
  EXPECT_GE(size, 400);
  VectorCache cache(2 * size);
  cache.Put("a", Row(100));
  cache.Put("b", Row(100));
  ASSERT_TRUE(Knows(&cache, "a"));
  cache.Put("c", Row(100));
  EXPECT_LE(cache.stats().bytes, 2 * size);
  EXPECT_TRUE(Knows(&cache, "a"));
  EXPECT_FALSE(Knows(&cache, "b"));
  VectorCache none(0);
  none.Put("a", Row{1});
  EXPECT_FALSE(Knows(&none, "a"));
}

// Against the plainest thing that does the same: a list in the order of use.
TEST(VectorCacheTest, IsAListOfTheLastUsedHoweverLongItRuns) {
  constexpr int kKept = 50;
  VectorCache one(1 << 20);
  one.Put("k1000", Row(1000));
  VectorCache cache(kKept * one.stats().bytes);
  std::list<std::string> used;  // the latest first
  std::mt19937 random(1);
  for (int step = 0; step < 20'000; ++step) {
    const int number = 1000 + random() % 80;
    const std::string key = absl::StrCat("k", number);
    const auto known = std::find(used.begin(), used.end(), key);
    if (random() % 2 == 0) {
      Row row(1000);
      const bool found = cache.Find(key, row.data());
      ASSERT_EQ(found, known != used.end()) << step;
      if (!found) continue;
      ASSERT_EQ(row, Row(1000, number));
      used.splice(used.begin(), used, known);
    } else {
      cache.Put(key, Row(1000, number));
      if (known != used.end()) continue;
      used.push_front(key);
      if (used.size() > kKept) used.pop_back();
    }
    ASSERT_EQ(cache.stats().bytes, used.size() * one.stats().bytes);
  }
}

// Builds on one builder after another edit, and from scratch on new ones.
class EditsTest : public ::testing::Test {
 protected:
  static ClassifierSpec Spec(const std::vector<std::string>& names,
                             const std::vector<std::string>& templates) {
    ClassifierSpec spec;
    for (const std::string& name : names) spec.classes.push_back({name, {}});
    spec.templates = templates;
    return spec;
  }
  static std::vector<std::string> Names(int count) {
    std::vector<std::string> names;
    for (int i = 0; i < count; ++i) names.push_back(absl::StrCat("thing", i));
    return names;
  }

  BuildResult Build(const ClassifierSpec& spec) {
    auto built = builder_.Build(spec, base::Caller(), nullptr);
    EXPECT_TRUE(built.ok()) << built.status();
    return built.ok() ? *std::move(built) : BuildResult();
  }

  BuildResult FromScratch(const ClassifierSpec& spec) {
    stores::MemoryStore store(64 << 20);
    WeightSetBuilder builder(&model_, &store, BuildLimits(), 1);
    return *builder.Build(spec, base::Caller(), nullptr);
  }

  void ExpectAsFromScratch(const BuildResult& built,
                           const ClassifierSpec& spec) {
    const BuildResult scratch = FromScratch(spec);
    EXPECT_EQ(built.set->id, scratch.set->id);
    EXPECT_EQ(built.set->class_names, scratch.set->class_names);
    EXPECT_EQ(built.set->num_tokens, scratch.set->num_tokens);
    ASSERT_EQ(built.set->weights.size(), scratch.set->weights.size());
    for (size_t i = 0; i < built.set->weights.size(); ++i) {
      ASSERT_NEAR(built.set->weights[i], scratch.set->weights[i], 1e-6);
    }
  }

  clip::FakeModel model_;
  stores::MemoryStore store_{64 << 20};
  WeightSetBuilder builder_{&model_, &store_, BuildLimits(), 1};
};

TEST_F(EditsTest, AddingAClassCostsOneClass) {
  const std::vector<std::string> templates = {"a {}", "the {}"};
  const int64_t one =
      Build(Spec({"new"}, {"my {}", "your {}"})).num_tokens_encoded;
  Build(Spec(Names(100), templates));
  std::vector<std::string> names = Names(100);
  names.insert(names.begin() + 50, "new");
  const BuildResult edited = Build(Spec(names, templates));
  EXPECT_FALSE(edited.cached);
  EXPECT_EQ(edited.num_tokens_encoded, one);
  ExpectAsFromScratch(edited, Spec(names, templates));
}

TEST_F(EditsTest, RemovingReorderingAndRenamingCostNothing) {
  const std::vector<std::string> templates = {"a {}", "the {}"};
  std::vector<std::string> names = Names(20);
  Build(Spec(names, templates));
  names.erase(names.begin() + 3);
  std::swap(names[0], names[7]);
  ClassifierSpec spec = Spec(names, templates);
  spec.classes[1] = {
      "another name",
      {absl::StrCat("a ", names[1]), absl::StrCat("the ", names[1])}};
  const int calls = model_.text_calls();
  const BuildResult edited = Build(spec);
  EXPECT_FALSE(edited.cached);
  EXPECT_EQ(edited.num_tokens_encoded, 0);
  EXPECT_EQ(model_.text_calls(), calls);
  ExpectAsFromScratch(edited, spec);
}

TEST_F(EditsTest, AddingATemplateEncodesItsPromptsOnly) {
  const int64_t before =
      Build(Spec(Names(10), {"a {}", "b {}", "c {}"})).num_tokens_encoded;
  const ClassifierSpec spec = Spec(Names(10), {"a {}", "b {}", "c {}", "d {}"});
  const BuildResult edited = Build(spec);
  EXPECT_EQ(edited.num_tokens_encoded, before / 3);
  ExpectAsFromScratch(edited, spec);
}

TEST_F(EditsTest, ACancelledBuildKeepsWhatItEncoded) {
  const ClassifierSpec spec = Spec(Names(50), {"a {}"});
  const int64_t all = FromScratch(spec).num_tokens_encoded;
  // The fake model asks between sequences.
  int64_t done = 0;
  base::Caller caller;
  caller.gone = [&] { return done >= 30; };
  const auto cancelled = builder_.Build(
      spec, caller, [&](const BuildProgress& p) { done = p.prompts_done; });
  ASSERT_TRUE(absl::IsCancelled(cancelled.status())) << cancelled.status();
  const BuildResult rest = Build(spec);
  EXPECT_GT(rest.num_tokens_encoded, 0);
  EXPECT_LE(rest.num_tokens_encoded, all - all * 3 / 5 + all / 50);
  ExpectAsFromScratch(rest, spec);
}

TEST_F(EditsTest, RandomEditsAreAsBuiltFromScratch) {
  std::mt19937 random(1);
  std::vector<std::string> names = Names(6), templates = {"a {}"};
  for (int step = 0; step < 40; ++step) {
    const size_t at = random() % names.size();
    switch (random() % 5) {
      case 0:
        names.insert(names.begin() + at, absl::StrCat("new", step));
        break;
      case 1:
        if (names.size() > 2) names.erase(names.begin() + at);
        break;
      case 2:
        std::shuffle(names.begin(), names.end(), random);
        break;
      case 3:
        templates.push_back(absl::StrCat("t", step, " {}"));
        break;
      default:
        if (templates.size() > 1) templates.pop_back();
    }
    ClassifierSpec spec = Spec(names, templates);
    if (random() % 3 == 0) spec.classes[0].prompts = {"own", names.back()};
    ExpectAsFromScratch(Build(spec), spec);
  }
}

TEST_F(EditsTest, ASmallCacheIsNoLessRight) {
  WeightSetBuilder builder(&model_, &store_, BuildLimits(), 1,
                           /*vector_cache_bytes=*/3000);
  for (int count : {5, 9, 7}) {
    const ClassifierSpec spec = Spec(Names(count), {"a {}", "the {}"});
    const auto built = builder.Build(spec, base::Caller(), nullptr);
    ASSERT_TRUE(built.ok()) << built.status();
    ExpectAsFromScratch(*built, spec);
  }
}

}  // namespace
}  // namespace zeroshot
