#include "base/json_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace base {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

// What the whole text, a string, stands for; "(none)" if it is not one.
std::string StringOf(absl::string_view text) {
  JsonReader reader(text);
  absl::string_view raw;
  if (!reader.TakeString(&raw) || !reader.AtEnd()) return "(none)";
  return JsonUnescape(raw);
}

TEST(JsonReaderTest, TakesApartObjectsAndArrays) {
  JsonReader reader(
      R"( {"a" : [1, 2,3 ], "b\n":[], "c":[18446744073709551615]} )");
  std::vector<std::pair<std::string, std::vector<uint64_t>>> got;
  EXPECT_TRUE(reader.TakeObject([&](absl::string_view key) {
    auto& numbers = got.emplace_back(JsonUnescape(key), 0).second;
    return reader.TakeArray(
        [&] { return reader.TakeUnsigned(&numbers.emplace_back()); });
  }));
  EXPECT_TRUE(reader.AtEnd());
  EXPECT_THAT(got, ElementsAre(Pair("a", ElementsAre(1, 2, 3)),
                               Pair("b\n", ElementsAre()),
                               Pair("c", ElementsAre(UINT64_MAX))));
}

// An independent reader of JSON says what is one.
TEST(JsonReaderTest, TakesTheStringsThatJsonHas) {
  for (const std::string text : {R"("")",
                                 R"("plain")",
                                 R"("\"\\\/\b\f\n\r\t")",
                                 R"("\u00e4\u20AC")",
                                 R"("\ud83d\ude00")",
                                 "\"\xc3\xa4\xf0\x9f\x98\x80\"",
                                 R"("\ud83d")",
                                 R"("\ude00\ud83d")",
                                 R"("\ud83dx")",
                                 R"("\ud83d\u0041")",
                                 R"("\u12g4")",
                                 R"("\u123")",
                                 R"("\x")",
                                 R"("\)",
                                 R"("\")",
                                 R"("open)",
                                 "\"\n\"",
                                 "\"\x1f\"",
                                 "\"\xff\"",
                                 "\"\xc3\"",
                                 "\"\xed\xa0\x80\"",
                                 "\"\xf4\x90\x80\x80\"",
                                 "\"\xc0\x80\"",
                                 "plain",
                                 "\"a\"b",
                                 "\"\x7f\"",
                                 R"("\u0000")"}) {
    const auto expected = nlohmann::json::parse(text, nullptr, false);
    EXPECT_EQ(StringOf(text), expected.is_string() ? expected.get<std::string>()
                                                   : std::string("(none)"))
        << text;
  }
}

TEST(JsonReaderTest, WritesStringsAsJsonHasThem) {
  for (const std::string& text :
       {std::string("plain /"), std::string("\"\\\b\f\n\r\t\x01\x1f\x7f"),
        std::string("\0", 1), std::string("\xc3\xa4\xf0\x9f\x98\x80")}) {
    std::string written;
    AppendJsonString(text, &written);
    EXPECT_EQ(written, nlohmann::json(text).dump());
    EXPECT_EQ(StringOf(written), text);
  }
  std::string written;
  AppendJsonString("a\xff\xc3z", &written);
  EXPECT_EQ(written, "\"a\xEF\xBF\xBD\xEF\xBF\xBDz\"");
}

TEST(JsonReaderTest, TakesTheScalarsThatJsonHas) {
  for (const std::string text :
       {"0",    "-0",    "12", "1.5", "1e5", "-1.5E+3", "2E-7", "true", "false",
        "null", "\"x\"", "01", "1.",  ".5",  "1e",      "+1",   "-",    "--1",
        "tru",  "[]",    "{}", "nul", "",    "1 2",     "0x1",  "NaN",  "00"}) {
    JsonReader reader(text);
    const auto expected = nlohmann::json::parse(text, nullptr, false);
    EXPECT_EQ(reader.SkipScalar() && reader.AtEnd(),
              expected.is_primitive() && !expected.is_discarded())
        << text;
    JsonReader counts(text);
    uint64_t number = 0;
    EXPECT_EQ(counts.TakeUnsigned(&number) && counts.AtEnd(),
              expected.is_number_unsigned())
        << text;
  }
  uint64_t number = 0;
  EXPECT_FALSE(JsonReader("18446744073709551616").TakeUnsigned(&number));
}

TEST(JsonReaderTest, AScalarIsTakenAsItStands) {
  JsonReader reader(R"([ -1.5e3, null, "a\"b"])");
  std::vector<std::string> taken;
  EXPECT_TRUE(reader.TakeArray([&] {
    absl::string_view raw;
    const bool is_scalar = reader.TakeScalar(&raw);
    taken.emplace_back(raw);
    return is_scalar;
  }));
  EXPECT_THAT(taken, ::testing::ElementsAre("-1.5e3", "null", R"("a\"b")"));
}

TEST(JsonReaderTest, SaysInWhichLineAStringIsWrongAndWhy) {
  for (const auto& [text, cause] :
       {std::pair("\"abc", "a text has no end"),
        std::pair("\"abc\n\"", "a text has no end"),
        std::pair("\"\t\"", "a text holds a control character"),
        std::pair("\"\\q\"", "\\ is followed by what JSON does not know"),
        std::pair("\"\\u12\"", "\\ is followed by what JSON does not know"),
        std::pair("\"\\ud800\"", "\\u holds half a character"),
        std::pair("\"\xff\"", "a text is not UTF-8"), std::pair("1", "")}) {
    const std::string whole = absl::StrCat("[\n\n ", text);
    JsonReader reader(whole);
    ASSERT_TRUE(reader.Take('['));
    absl::string_view raw;
    EXPECT_FALSE(reader.TakeString(&raw));
    EXPECT_EQ(reader.line(), 3) << text;
    EXPECT_EQ(reader.cause(), cause) << text;
  }
}

TEST(JsonReaderTest, RefusesWhatIsNotClosed) {
  for (const char* text : {"[1,]", "[1", "[1 2]", "[,1]", "[", "]"}) {
    JsonReader reader(text);
    uint64_t number = 0;
    EXPECT_FALSE(reader.TakeArray([&] { return reader.TakeUnsigned(&number); }))
        << text;
  }
  for (const char* text : {R"({"a":1,})", R"({"a":1)", R"({"a" 1})", R"({a:1})",
                           R"({"a":})", "{"}) {
    JsonReader reader(text);
    EXPECT_FALSE(reader.TakeObject([&](absl::string_view) {
      return reader.SkipScalar();
    })) << text;
  }
}

}  // namespace
}  // namespace base
