// The small things that commands are made of: JSON, columns, arguments.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <clocale>
#include <cmath>
#include <limits>

#include "client/cli/arguments.h"
#include "client/cli/console.h"
#include "client/cli/json.h"
#include "client/utf8.h"

namespace zeroshot::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(JsonTest, EscapesWhatMustBeEscaped) {
  EXPECT_EQ(JsonString("a\"b\\c\n\x01\x7f"), R"("a\"b\\c\u000a\u0001\u007f")");
  EXPECT_EQ(JsonString("käse 🧀"), "\"käse 🧀\"");
  EXPECT_EQ(JsonString(absl::string_view("\0", 1)), R"("\u0000")");
}

TEST(JsonTest, BytesThatAreNotUtf8AreReplaced) {
  EXPECT_EQ(JsonString("a\xff\xc0\x80z"), "\"a\ufffd\ufffd\ufffdz\"");
}

TEST(JsonTest, NumbersReadBackAsTheSameFloat) {
  for (const float number : {0.1f, 1e-30f, 3.4e38f, -0.33333334f, 1e7f}) {
    EXPECT_EQ(std::stof(JsonNumber(number)), number);
  }
  EXPECT_EQ(JsonNumber(0.1f), "0.1");
  EXPECT_EQ(JsonNumber(std::nanf("")), "null");
  EXPECT_EQ(JsonNumber(std::numeric_limits<float>::infinity()), "null");
}

TEST(JsonTest, ObjectsKeepTheOrderOfTheirMembers) {
  EXPECT_EQ(JsonObject().str(), "{}");
  EXPECT_EQ(JsonObject()
                .Text("b", "x")
                .Integer("a", -1)
                .Bool("c", true)
                .Json("d", JsonArray(std::vector<float>{1, 0.5f}))
                .str(),
            R"({"b":"x","a":-1,"c":true,"d":[1,0.5]})");
}

TEST(Utf8Test, RefusesWhatIsNotUtf8) {
  for (const absl::string_view bad :
       {"\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82",
        "\xf8\x88\x80\x80\x80"}) {
    EXPECT_FALSE(FirstCharacter(bad).valid);
    EXPECT_EQ(FirstCharacter(bad).length, 1);
  }
  EXPECT_EQ(FirstCharacter("€").code_point, 0x20ac);
  EXPECT_EQ(FirstCharacter("🐸").length, 4);
}

TEST(ConsoleTest, PrintableTextHasNoControlCharacters) {
  EXPECT_EQ(Printable("a\tb\033c\x7f"), "a\ufffdb\ufffdc\ufffd");
  EXPECT_EQ(Printable("a\u202eb\u009b"), "a\ufffdb\ufffd");
  EXPECT_EQ(Printable("Grüße 蛙"), "Grüße 蛙");
}

TEST(ConsoleTest, ColumnsAreThoseOfATerminal) {
  ASSERT_NE(std::setlocale(LC_CTYPE, "C.UTF-8"), nullptr);
  EXPECT_EQ(ColumnsOf("frog"), 4);
  EXPECT_EQ(ColumnsOf("Frösche"), 7);
  EXPECT_EQ(ColumnsOf("蛙"), 2);
  EXPECT_EQ(PadRight("蛙", 4), "蛙  ");
  EXPECT_EQ(PadLeft("abc", 2), "abc");
}

TEST(ConsoleTest, BarsAreFilledInEighths) {
  EXPECT_EQ(Bar(0, 4), "    ");
  EXPECT_EQ(Bar(0.5, 4), "██  ");
  EXPECT_EQ(Bar(0.53125, 4), "██▏ ");
  EXPECT_EQ(Bar(1, 4), "████");
  EXPECT_EQ(Bar(7, 2), "██");
  EXPECT_EQ(Bar(std::nan(""), 2), "  ");
}

TEST(ConsoleTest, NumbersAreForPeople) {
  EXPECT_EQ(Percent(0.9314), "93.1 %");
  EXPECT_EQ(WithCommas(999), "999");
  EXPECT_EQ(WithCommas(-1234567), "-1,234,567");
  EXPECT_EQ(HumanBytes(999), "999 B");
  EXPECT_EQ(HumanBytes(40960), "41.0 kB");
  EXPECT_EQ(HumanBytes(999'990), "1.0 MB");
  EXPECT_EQ(HumanDuration(absl::Milliseconds(5)), "5.0 ms");
  EXPECT_EQ(HumanDuration(absl::Seconds(200)), "3 min 20 s");
}

const FlagDefinition kFlags[] = {{"name", "TEXT", ""},
                                 {"tag", "TEXT", "", /*repeated=*/true},
                                 {"loud", nullptr, ""}};

std::string Complaint(const std::vector<std::string>& args) {
  return std::string(Arguments::Parse(args, kFlags).status().message());
}

TEST(ArgumentsTest, FlagsAndArgumentsMayMix) {
  const auto parsed = Arguments::Parse(
      {"a", "--name=x=y", "--tag", "1", "-", "--tag=", "--loud", "--", "--b"},
      kFlags);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_THAT(parsed->positional(), ElementsAre("a", "-", "--b"));
  EXPECT_EQ(parsed->Text("name"), "x=y");
  EXPECT_THAT(parsed->Texts("tag"), ElementsAre("1", ""));
  EXPECT_TRUE(parsed->Has("loud"));
}

TEST(ArgumentsTest, WrongFlagsAreNamed) {
  EXPECT_EQ(Complaint({"--nam=x"}), "unknown flag --nam; did you mean --name?");
  EXPECT_EQ(Complaint({"--whatever"}), "unknown flag --whatever");
  EXPECT_THAT(Complaint({"--name"}), HasSubstr("needs a value: --name=TEXT"));
  EXPECT_THAT(Complaint({"--loud=yes"}), HasSubstr("takes no value"));
  EXPECT_THAT(Complaint({"--name=a", "--name=b"}), HasSubstr("given twice"));
}

TEST(ArgumentsTest, TimesAreSecondsUnlessTheySayOtherwise) {
  const auto time = [](const std::string& text) {
    return Arguments::Parse({"--name=" + text}, kFlags)->Time("name");
  };
  EXPECT_EQ(**time("30"), absl::Seconds(30));
  EXPECT_EQ(**time("1.5"), absl::Milliseconds(1500));
  EXPECT_EQ(**time("2m"), absl::Minutes(2));
  for (const char* bad : {"", "0", "-1", "soon", "nan", "inf", "1e30"}) {
    EXPECT_FALSE(time(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace zeroshot::client
