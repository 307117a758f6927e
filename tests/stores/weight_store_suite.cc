#include "tests/stores/weight_store_suite.h"

#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "tests/stores/make_weight_set.h"

namespace stores {

TEST_P(WeightStoreTest, GivesBackWhatWasPut) {
  ASSERT_TRUE(store_->Put(MakeWeightSet("a")).ok());
  const auto got = store_->Get("a");
  ASSERT_TRUE(got.ok()) << got.status();
  const WeightSet expected = *MakeWeightSet("a");
  EXPECT_EQ((*got)->id, expected.id);
  EXPECT_EQ((*got)->model_fingerprint, expected.model_fingerprint);
  EXPECT_EQ((*got)->precision, expected.precision);
  EXPECT_EQ((*got)->class_names, expected.class_names);
  EXPECT_EQ((*got)->embedding_dim, expected.embedding_dim);
  EXPECT_EQ((*got)->weights, expected.weights);
  EXPECT_EQ((*got)->num_prompts, expected.num_prompts);
  EXPECT_EQ((*got)->num_tokens, expected.num_tokens);
  EXPECT_EQ((*got)->create_time, expected.create_time);
}

TEST_P(WeightStoreTest, AnUnknownIdIsNotFoundAndSaysWhatToDo) {
  const absl::Status status = store_->Get("nothing").status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(std::string(status.message()),
              ::testing::AllOf(::testing::HasSubstr("nothing"),
                               ::testing::HasSubstr("BuildClassifier")));
  EXPECT_TRUE(absl::IsNotFound(store_->Delete("nothing")));
}

TEST_P(WeightStoreTest, PuttingAgainChangesNothing) {
  ASSERT_TRUE(store_->Put(MakeWeightSet("a")).ok());
  ASSERT_TRUE(store_->Put(MakeWeightSet("a")).ok());
  const auto list = store_->List("", 10);
  ASSERT_TRUE(list.ok());
  EXPECT_EQ(list->size(), 1);
}

TEST_P(WeightStoreTest, ADeletedSetIsGone) {
  ASSERT_TRUE(store_->Put(MakeWeightSet("a")).ok());
  ASSERT_TRUE(store_->Delete("a").ok());
  EXPECT_TRUE(absl::IsNotFound(store_->Get("a").status()));
  EXPECT_TRUE(absl::IsNotFound(store_->Delete("a")));
}

TEST_P(WeightStoreTest, TheHeaderIsThereWithTheSetAndGoesWithIt) {
  EXPECT_TRUE(absl::IsNotFound(store_->GetHeader("a").status()));
  ASSERT_TRUE(store_->Put(MakeWeightSet("a")).ok());
  const auto header = store_->GetHeader("a");
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ((*header)->class_names, MakeWeightSet("a")->class_names);
  EXPECT_EQ((*header)->templates, MakeWeightSet("a")->templates);
  ASSERT_TRUE(store_->Delete("a").ok());
  EXPECT_TRUE(absl::IsNotFound(store_->GetHeader("a").status()));
}

TEST_P(WeightStoreTest, TouchTellsWhatIsThere) {
  EXPECT_TRUE(absl::IsNotFound(store_->Touch("a")));
  ASSERT_TRUE(store_->Put(MakeWeightSet("a")).ok());
  EXPECT_TRUE(store_->Touch("a").ok());
  ASSERT_TRUE(store_->Delete("a").ok());
  EXPECT_TRUE(absl::IsNotFound(store_->Touch("a")));
}

TEST_P(WeightStoreTest, OfTheNamesThatASetWasGivenTheLastCounts) {
  EXPECT_TRUE(absl::IsNotFound(GiveDisplayName(store_.get(), "a", "pets")));
  ASSERT_TRUE(store_->Put(MakeWeightSet("a")).ok());
  EXPECT_EQ(store_->GetDisplayName("a")->text, "");
  ASSERT_TRUE(GiveDisplayName(store_.get(), "a", "pets").ok());
  EXPECT_EQ(store_->GetDisplayName("a")->text, "pets");
  ASSERT_TRUE(GiveDisplayName(store_.get(), "a", "Haus\xc3\xa4 tiere").ok());
  EXPECT_EQ(store_->GetDisplayName("a")->text, "Haus\xc3\xa4 tiere");
  // One given before, which comes late.
  ASSERT_TRUE(store_->PutDisplayName("a", {"old", 1}).ok());
  EXPECT_EQ(store_->GetDisplayName("a")->text, "Haus\xc3\xa4 tiere");
  // A clock that is ahead has the last word for no longer than until the next.
  const int64_t ahead = absl::ToUnixMicros(absl::Now() + absl::Hours(1));
  ASSERT_TRUE(store_->PutDisplayName("a", {"ahead", ahead}).ok());
  EXPECT_EQ(store_->GetDisplayName("a")->text, "ahead");
  ASSERT_TRUE(GiveDisplayName(store_.get(), "a", "next").ok());
  EXPECT_EQ(store_->GetDisplayName("a")->text, "next");
  // Putting the set again changes nothing in it.
  ASSERT_TRUE(store_->Put(MakeWeightSet("a")).ok());
  EXPECT_EQ(store_->GetDisplayName("a")->text, "next");
}

TEST_P(WeightStoreTest, ANameGoesWithItsSet) {
  ASSERT_TRUE(store_->Put(MakeWeightSet("a")).ok());
  ASSERT_TRUE(GiveDisplayName(store_.get(), "a", "pets").ok());
  ASSERT_TRUE(store_->Delete("a").ok());
  EXPECT_EQ(store_->GetDisplayName("a")->text, "");
  ASSERT_TRUE(store_->Put(MakeWeightSet("a")).ok());
  EXPECT_EQ(store_->GetDisplayName("a")->text, "");
}

TEST_P(WeightStoreTest, ListsByIdInPages) {
  for (const char* id : {"c", "a", "d", "b"}) {
    ASSERT_TRUE(store_->Put(MakeWeightSet(id)).ok());
  }
  const auto first = store_->List("", 3);
  ASSERT_TRUE(first.ok());
  ASSERT_EQ(first->size(), 3);
  EXPECT_EQ((*first)[0].id, "a");
  EXPECT_EQ((*first)[2].id, "c");
  const WeightSetSummary expected = SummaryOf(*MakeWeightSet("a"));
  EXPECT_EQ((*first)[0].model_fingerprint, expected.model_fingerprint);
  EXPECT_EQ((*first)[0].precision, expected.precision);
  EXPECT_EQ((*first)[0].num_classes, 2);
  EXPECT_EQ((*first)[0].embedding_dim, 2);
  EXPECT_EQ((*first)[0].num_prompts, expected.num_prompts);
  EXPECT_EQ((*first)[0].create_time, expected.create_time);
  const auto rest = store_->List("c", 3);
  ASSERT_TRUE(rest.ok());
  ASSERT_EQ(rest->size(), 1);
  EXPECT_EQ((*rest)[0].id, "d");
}

TEST_P(WeightStoreTest, TakesManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 100; ++i) {
        const std::string id(1, static_cast<char>('a' + (t + i) % 5));
        EXPECT_TRUE(store_->Put(MakeWeightSet(id)).ok());
        if (const auto got = store_->Get(id); got.ok()) {
          EXPECT_EQ((*got)->weights[3], id[0]);
        }
        if (i % 7 == 0) (void)store_->Delete(id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace stores
