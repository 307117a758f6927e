#include "clip/token_trie.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

namespace clip {
namespace {

using ::testing::ElementsAre;
using Sequence = std::vector<int32_t>;
using Sequences = std::vector<Sequence>;

std::vector<absl::Span<const int32_t>> Spans(const Sequences& sequences) {
  return {sequences.begin(), sequences.end()};
}

// The tokens of a node's prefix.
Sequence PrefixOf(const TokenTrie& trie, int32_t node) {
  Sequence prefix;
  for (int32_t i = trie.offsets[node]; i < trie.offsets[node + 1]; ++i)
    prefix.push_back(trie.tokens[trie.ancestors[i]]);
  return prefix;
}

Sequence Cut(const Sequence& sequence) {
  const auto cut = CutAtPool(sequence);
  return {cut.begin(), cut.end()};
}

TEST(TokenTrieTest, SequencesThatBeginAlikeShareTheirBeginning) {
  const Sequences sequences = {{1, 2, 3, 9}, {1, 9}, {1, 2, 4, 9}, {0, 9}};
  TrieSteps steps(Spans(sequences), 100);
  const auto step = steps.Next();
  ASSERT_TRUE(step.has_value());
  const TokenTrie& trie = step->trie;
  EXPECT_THAT(trie.tokens, ElementsAre(0, 9, 1, 2, 3, 9, 4, 9, 9));
  EXPECT_THAT(trie.depths, ElementsAre(0, 1, 0, 1, 2, 3, 2, 3, 1));
  EXPECT_THAT(PrefixOf(trie, 5), ElementsAre(1, 2, 3, 9));
  EXPECT_THAT(PrefixOf(trie, 7), ElementsAre(1, 2, 4, 9));
  EXPECT_FALSE(steps.Next().has_value());
}

TEST(TokenTrieTest, ClassTokensStandBehindEachSequencesPadding) {
  const Sequences sequences = {{1, 2, 9}, {1, 9}};
  TrieSteps steps(Spans(sequences), 100);
  const TokenTrie trie =
      WithClassTokens(steps.Next()->trie, /*context=*/3, /*class_token=*/50);
  // 1 2 9, then 1 9: the first is full.
  EXPECT_THAT(trie.tokens, ElementsAre(1, 2, 9, 9, 50, 0, 50));
  EXPECT_THAT(trie.depths, ElementsAre(0, 1, 2, 1, 3, 2, 3));
  EXPECT_THAT(trie.ends, ElementsAre(4, 6));
  EXPECT_THAT(PrefixOf(trie, 2), ElementsAre(1, 2, 9));
  EXPECT_THAT(PrefixOf(trie, 4), ElementsAre(1, 2, 9, 50));
  EXPECT_THAT(PrefixOf(trie, 5), ElementsAre(1, 9, 0));
  EXPECT_THAT(PrefixOf(trie, 6), ElementsAre(1, 9, 0));
}

TEST(TokenTrieTest, NothingSeesWhatFollowsATokenThatLooksLikePadding) {
  const Sequences sequences = {{1, 0, 3, 9}, {1, 0}};
  TrieSteps steps(Spans(sequences), 100);
  const TokenTrie trie =
      WithClassTokens(steps.Next()->trie, /*context=*/8, /*class_token=*/50);
  ASSERT_THAT(trie.ends.size(), 2);
  const auto by_length = [&](int32_t end) {
    return PrefixOf(trie, trie.ends[end]).size();
  };
  const int32_t shorter = by_length(0) < by_length(1) ? 0 : 1;
  EXPECT_THAT(PrefixOf(trie, trie.ends[1 - shorter]), ElementsAre(1, 0, 9, 0));
  EXPECT_THAT(PrefixOf(trie, trie.ends[shorter]), ElementsAre(1, 0));
}

TEST(TokenTrieTest, WhatATowerPutsBehindSequencesCounts) {
  const Sequences sequences = {{1, 9}, {1, 9}, {2, 9}, {3, 9}};
  TrieSteps steps(Spans(sequences), 8, /*padded=*/0, /*behind=*/2);
  const auto step = steps.Next();
  ASSERT_TRUE(step.has_value());
  EXPECT_EQ(step->nodes, 8);
  EXPECT_EQ(step->members.size(), 3);
}

TEST(TokenTrieTest, SequencesThatArePaddedCountAsWhatTheyArePaddedTo) {
  const Sequences sequences = {{1, 9}, {1, 9}, {2, 9}, {3, 4, 9}, {3, 9}};
  TrieSteps steps(Spans(sequences), 16, /*padded=*/8);
  auto step = steps.Next();
  ASSERT_TRUE(step.has_value());
  EXPECT_EQ(step->nodes, 16);  // of two, one of them there twice
  EXPECT_EQ(step->trie.num_ends(), 2);
  EXPECT_EQ(step->members.size(), 3);
  step = steps.Next();
  ASSERT_TRUE(step.has_value());
  EXPECT_EQ(step->nodes, 16);
  EXPECT_FALSE(steps.Next().has_value());
}

TEST(TokenTrieTest, SequencesThatShareNothingCountAsTheirTokens) {
  const Sequences sequences = {{1, 9}, {1, 9}, {1, 4, 9}, {1, 4, 5, 9}};
  TrieSteps steps(Spans(sequences), 5, TrieSteps::kOwnLength);
  auto step = steps.Next();
  ASSERT_TRUE(step.has_value());
  EXPECT_EQ(step->members.size(), 1);  // the longest comes first
  EXPECT_EQ(step->nodes, 4);
  step = steps.Next();
  ASSERT_TRUE(step.has_value());
  EXPECT_EQ(step->nodes, 5);
  EXPECT_EQ(step->members.size(), 3);
  EXPECT_EQ(step->trie.num_ends(), 2);
}

TEST(TokenTrieTest, ASequenceIsCutBehindItsFirstEndToken) {
  const Sequence sequence = {0, 7, 2, 9, 2};
  EXPECT_EQ(CutAtPool(sequence).size(), 4);
  EXPECT_EQ(CutAtPool(sequence, 2).size(), 3);
  EXPECT_EQ(CutAtPool(sequence, 5).size(), 1);  // it has none
}

TEST(TokenTrieTest, EqualSequencesEndInOnePlace) {
  const Sequences sequences = {{1, 9}, {2, 9}, {1, 9}, {1, 9}};
  TrieSteps steps(Spans(sequences), 100);
  const auto step = steps.Next();
  ASSERT_TRUE(step.has_value());
  EXPECT_EQ(step->trie.num_ends(), 2);
  std::vector<int64_t> end_of(sequences.size());
  for (const TextStep::Member& member : step->members)
    end_of[member.sequence] = member.end;
  EXPECT_THAT(end_of, ElementsAre(0, 1, 0, 0));
}

TEST(TokenTrieTest, WhatIsPutBackComesAgainInStepsOfTheNewSize) {
  const Sequences sequences = {{1, 9}, {2, 9}, {3, 9}, {4, 9}, {5, 9}};
  TrieSteps steps(Spans(sequences), 4);
  const auto first = steps.Next(), second = steps.Next();
  ASSERT_TRUE(first.has_value() && second.has_value());
  steps.PutBack(*second);
  steps.PutBack(*first);
  steps.set_max_nodes(2);
  for (int32_t token = 1; token <= 5; ++token) {
    const auto step = steps.Next();
    ASSERT_TRUE(step.has_value());
    EXPECT_THAT(step->trie.tokens, ElementsAre(token, 9));
  }
  EXPECT_FALSE(steps.Next().has_value());
}

TEST(TokenTrieTest, ASequenceIsCutBehindItsFirstHighestId) {
  EXPECT_THAT(Cut({1, 9, 5, 9}), ElementsAre(1, 9));
  EXPECT_THAT(Cut({9, 1, 2}), ElementsAre(9));
  EXPECT_THAT(Cut({1, 2, 3}), ElementsAre(1, 2, 3));
}

TEST(TokenTrieTest, ASequenceMayBeThePrefixOfAnother) {
  const Sequences sequences = {{1, 2, 3}, {1, 2}, {1}};
  TrieSteps steps(Spans(sequences), 100);
  const auto step = steps.Next();
  ASSERT_TRUE(step.has_value());
  EXPECT_EQ(step->trie.num_nodes(), 3);
  EXPECT_THAT(step->trie.ends, ElementsAre(0, 1, 2));
}

TEST(TokenTrieTest, NoSequencesNoStep) {
  TrieSteps steps({}, 100);
  EXPECT_FALSE(steps.Next().has_value());
}

// Whatever the sequences and the bound: every sequence is in one step, its end
// spells it, no prefix stands twice in a step, and the bound is kept.
TEST(TokenTrieTest, StepsSpellEverySequenceOnceWithinTheBound) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    const int ids = 1 + random() % 6, longest = 1 + random() % 77;
    const int64_t max_nodes = 1 + random() % 200;
    Sequences sequences(1 + random() % 60);
    for (Sequence& sequence : sequences) {
      sequence.resize(1 + random() % longest);
      for (int32_t& id : sequence) id = random() % ids;
    }
    std::vector<int> seen(sequences.size());
    TrieSteps steps(Spans(sequences), max_nodes);
    while (const auto step = steps.Next()) {
      const TokenTrie& trie = step->trie;
      std::set<Sequence> prefixes;
      for (int32_t node = 0; node < trie.num_nodes(); ++node) {
        const Sequence prefix = PrefixOf(trie, node);
        EXPECT_TRUE(prefixes.insert(prefix).second);
        EXPECT_EQ(trie.depths[node] + 1, prefix.size());
        EXPECT_EQ(trie.ancestors[trie.offsets[node + 1] - 1], node);
      }
      for (const TextStep::Member& member : step->members) {
        ++seen[member.sequence];
        EXPECT_EQ(PrefixOf(trie, trie.ends[member.end]),
                  sequences[member.sequence]);
      }
      if (trie.num_ends() > 1) {
        EXPECT_LE(trie.num_nodes(), max_nodes);
      }
    }
    EXPECT_TRUE(std::all_of(seen.begin(), seen.end(),
                            [](int times) { return times == 1; }));
  }
}

}  // namespace
}  // namespace clip
