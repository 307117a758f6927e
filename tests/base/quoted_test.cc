#include "base/quoted.h"

#include <string>

#include "base/utf8.h"
#include "gtest/gtest.h"

namespace base {
namespace {

TEST(QuotedTest, LeavesTextAsItIs) {
  EXPECT_EQ(Quoted(""), "''");
  EXPECT_EQ(Quoted("a photo of a cat"), "'a photo of a cat'");
  EXPECT_EQ(Quoted("Käse 猫 🐈"), "'Käse 猫 🐈'");
}

TEST(QuotedTest, EscapesWhatWouldNotShow) {
  EXPECT_EQ(Quoted("a\nb'c\\d"), R"('a\nb\'c\\d')");
  EXPECT_EQ(Quoted("\xc2\x85"), R"('\xc2\x85')");
  EXPECT_EQ(Quoted(absl::string_view("\0", 1)), R"('\x00')");
}

TEST(QuotedTest, EscapesBytesThatAreNotUtf8) {
  EXPECT_EQ(Quoted("a\xff"), R"('a\xff')");
  EXPECT_EQ(Quoted("\xe7\x8c"), R"('\xe7\x8c')");
  EXPECT_EQ(Quoted("\xed\xa0\x80"), R"('\xed\xa0\x80')");
}

TEST(QuotedTest, CutsLongTextBetweenTwoCharacters) {
  EXPECT_EQ(Quoted(std::string(80, 'x')), "'" + std::string(80, 'x') + "'");
  EXPECT_EQ(Quoted(std::string(81, 'x')),
            "'" + std::string(80, 'x') + "...' (81 bytes)");
  EXPECT_EQ(Quoted(std::string(79, 'x') + "ä"),
            "'" + std::string(79, 'x') + "...' (81 bytes)");
}

TEST(QuotedTest, AnyBytesBecomeUtf8) {
  std::string text;
  for (int i = 0; i < 1000; ++i) {
    text += static_cast<char>(i * i % 251);
    EXPECT_TRUE(DecodeUtf8(Quoted(text)).ok()) << i;
    EXPECT_TRUE(DecodeUtf8(Quoted(text.substr(text.size() / 2))).ok()) << i;
  }
}

}  // namespace
}  // namespace base
