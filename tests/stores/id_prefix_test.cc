#include "stores/id_prefix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "stores/memory_store.h"
#include "tests/stores/make_weight_set.h"

namespace stores {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class IdPrefixTest : public ::testing::Test {
 protected:
  // `begin` and zeros up to a whole id's digits.
  std::string Put(const std::string& begin) {
    const size_t before = IsImported(begin) ? kImportedPrefix.size() : 0;
    std::string id = begin;
    id.resize(before + kIdDigits, '0');
    EXPECT_TRUE(store_.Put(MakeWeightSet(id)).ok());
    return id;
  }
  std::string Message(absl::string_view given) {
    const auto id = CompleteId(&store_, given);
    EXPECT_TRUE(absl::IsInvalidArgument(id.status())) << id.status();
    return std::string(id.status().message());
  }

  MemoryStore store_{1 << 20};
};

TEST_F(IdPrefixTest, AUniqueBeginningOfEightDigitsIsEnough) {
  const std::string one = Put("0123456701"), two = Put("0123456801"),
                    last = Put("ffffffff"), imported = Put("imported-01234567");
  EXPECT_EQ(*CompleteId(&store_, "01234567"), one);
  EXPECT_EQ(*CompleteId(&store_, "01234568"), two);
  EXPECT_EQ(*CompleteId(&store_, one.substr(0, 63)), one);
  EXPECT_EQ(*CompleteId(&store_, "ffffffff"), last);
  EXPECT_EQ(*CompleteId(&store_, "imported-01234567"), imported);
  EXPECT_TRUE(absl::IsNotFound(CompleteId(&store_, "0123456702").status()));
  EXPECT_TRUE(
      absl::IsNotFound(CompleteId(&store_, "imported-11111111").status()));
}

TEST_F(IdPrefixTest, AnAmbiguousOneIsToldOfWithSomeOfTheCandidates) {
  const std::string one = Put("01234567a"), two = Put("01234567b");
  EXPECT_THAT(Message("01234567"),
              AllOf(HasSubstr("'01234567'"), HasSubstr(one), HasSubstr(two),
                    Not(HasSubstr("..."))));
  const std::string three = Put("01234567c"), four = Put("01234567d");
  EXPECT_THAT(Message("01234567"),
              AllOf(HasSubstr(one), HasSubstr(three), Not(HasSubstr(four)),
                    HasSubstr("...")));
  EXPECT_EQ(*CompleteId(&store_, "01234567d"), four);
  const std::string five = Put("imported-01234567a"),
                    six = Put("imported-01234567b");
  EXPECT_THAT(Message("imported-01234567"),
              AllOf(HasSubstr(five), HasSubstr(six),
                    Not(HasSubstr(absl::StrCat(" ", one)))));
}

TEST_F(IdPrefixTest, FewerDigitsAreRefused) {
  const std::string id = Put("0123456701");
  EXPECT_THAT(Message("0123456"),
              AllOf(HasSubstr("7 digits"), HasSubstr("at least 8")));
  EXPECT_THAT(Message("imported-0"), HasSubstr("1 digits"));
}

TEST_F(IdPrefixTest, WhatIsNoBeginningComesBackAsItIs) {
  for (const std::string& text :
       {std::string("pets"), std::string("imported-"), std::string(64, '0'),
        std::string("0123456X"), std::string(70, 'a'), std::string("../..")}) {
    EXPECT_EQ(*CompleteId(&store_, text), text);
  }
}

TEST_F(IdPrefixTest, AWholeIdIsOneByItsDigits) {
  const std::string digits(kIdDigits, 'a');
  EXPECT_TRUE(IsWholeId(digits));
  EXPECT_TRUE(IsWholeId(absl::StrCat("imported-", digits)));
  for (const std::string& other :
       {std::string(), digits.substr(1), digits + "a", std::string(64, 'A'),
        absl::StrCat("imported-", digits.substr(1)), std::string(64, 'g')}) {
    EXPECT_FALSE(IsWholeId(other)) << other;
  }
}

}  // namespace
}  // namespace stores
