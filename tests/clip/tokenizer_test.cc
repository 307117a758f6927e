#include <algorithm>
#include <cstdint>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/utf8.h"
#include "clip/clip_tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace clip {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const ClipTokenizer& SharedTokenizer() {
  static const auto* const tokenizer = new ClipTokenizer;
  return *tokenizer;
}

std::vector<int32_t> Ids(absl::string_view text) {
  absl::StatusOr<std::vector<int32_t>> ids = SharedTokenizer().Encode(text);
  EXPECT_TRUE(ids.ok()) << ids.status();
  return ids.value_or(std::vector<int32_t>());
}

std::ifstream OpenGolden(const char* name) {
  std::ifstream file(absl::StrCat(ZEROSHOT_SOURCE_DIR,
                                  "/tests/testdata/golden/tokens/", name));
  EXPECT_TRUE(file.is_open()) << name;
  return file;
}

TEST(TokenizerTest, AgreesWithTheReferenceOnGoldenStrings) {
  std::ifstream file = OpenGolden("strings.json");
  const nlohmann::json golden = nlohmann::json::parse(file);
  ASSERT_GT(golden.size(), 500);
  for (const auto& [text, ids] :
       golden
           .get<std::vector<std::pair<std::string, std::vector<int32_t>>>>()) {
    EXPECT_EQ(Ids(text), ids) << nlohmann::json(text).dump();
  }
}

TEST(TokenizerTest, AgreesWithTheReferenceOnEveryAssignedCodePoint) {
  std::ifstream file = OpenGolden("code_points.txt");
  uint32_t first, last;
  std::string expected;
  int64_t count = 0;
  while (file >> std::hex >> first >> last >> expected) {
    uint64_t hash = 0xCBF29CE484222325;  // FNV-1a
    for (char32_t c = first; c <= last; ++c, ++count) {
      const std::string x = base::EncodeUtf8(std::u32string(1, c));
      // PROBE of tools/golden/tokens.py
      for (const int32_t id :
           Ids(absl::StrCat(x, "\na", x, "b\na\u03A3", x, "\n", x,
                            "\u03A3\n\u00E9\u00AB", x))) {
        hash = (hash ^ static_cast<uint32_t>(id)) * 0x100000001B3;
      }
    }
    EXPECT_EQ(
        absl::AsciiStrToUpper(absl::StrCat(absl::Hex(hash, absl::kZeroPad16))),
        expected)
        << std::hex << first << " to " << last;
  }
  EXPECT_GT(count, 280'000);
}

// Whatever folder the model is of; transformers' tokenizer has other ids for
// some of them.
TEST(TokenizerTest, CleansTextsAsOpenAisCodeDoes) {
  EXPECT_EQ(Ids("don\u2019t"), Ids("don't"));
  EXPECT_EQ(Ids("\ufb01sh"), Ids("fish"));
  EXPECT_EQ(Ids("\uff43\uff41\uff54"), Ids("cat"));
  EXPECT_EQ(Ids("cat &amp;amp; dog"), Ids("cat & dog"));
  EXPECT_EQ(Ids("sch\u00c3\u00b6n"), Ids("sch\u00f6n"));
  EXPECT_NE(Ids("don't"), Ids("dont"));
}

TEST(TokenizerTest, GivesStartAndEndToAnEmptyText) {
  EXPECT_THAT(Ids(""), ElementsAre(49406, 49407));
  EXPECT_THAT(Ids(" \t\n\u3000"), ElementsAre(49406, 49407));
}

TEST(TokenizerTest, RecognisesSpecialTokensInsidePrompts) {
  EXPECT_THAT(Ids("<|startoftext|><|EndOfText|>"),
              ElementsAre(49406, 49406, 49407, 49407));
}

TEST(TokenizerTest, NeverTruncates) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "cat ";
  EXPECT_EQ(Ids(text).size(), 1002);
}

TEST(TokenizerTest, RefusesTextThatIsNotUtf8NamingTheByte) {
  for (const char* bad : {"ab\xFF", "ab\xC3", "ab\xC0\x80", "ab\xED\xA0\x80",
                          "ab\xE2\x82", "ab\xF4\x90\x80\x80", "ab\x80"}) {
    const absl::Status status = SharedTokenizer().Encode(bad).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("byte 2 of "));
  }
}

TEST(TokenizerTest, RefusesTextOver64MiB) {
  const std::string text(base::kMaxTextBytes + 1, 'a');
  EXPECT_EQ(SharedTokenizer().Encode(text).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// In quadratic time this would take hours.
TEST(TokenizerTest, TakesAWordOfAMillionCharacters) {
  std::mt19937 random(1);
  std::string word;
  for (int i = 0; i < 1'000'000; ++i) word.push_back('a' + random() % 4);
  EXPECT_GT(Ids(word).size(), 100'000);
}

TEST(TokenizerTest, GivesEveryThreadTheSameIds) {
  const std::vector<int32_t> expected = Ids("a photo of cafÃ© &eacute;");
  const ClipTokenizer fresh;
  std::vector<std::thread> threads;
  std::vector<int> failures(4);
  for (int& failed : failures) {
    threads.emplace_back([&fresh, &expected, &failed] {
      for (int i = 0; i < 200; ++i) {
        const auto ids = fresh.Encode("a photo of cafÃ© &eacute;");
        failed += !ids.ok() || *ids != expected;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(failures, ElementsAre(0, 0, 0, 0));
}

// What a fuzzer would check of any bytes at all.
void ExpectSoundAnswer(absl::string_view bytes) {
  const auto ids = SharedTokenizer().Encode(bytes);
  if (!ids.ok()) {
    ASSERT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
    return;
  }
  ASSERT_GE(ids->size(), 2);
  EXPECT_EQ(ids->front(), ClipTokenizer::kStartOfText);
  EXPECT_EQ(ids->back(), ClipTokenizer::kEndOfText);
  for (const int32_t id : *ids) {
    ASSERT_TRUE(id >= 0 && id < ClipTokenizer::kVocabSize) << id;
  }
}

TEST(TokenizerTest, AnswersAnyBytes) {
  std::mt19937 random(20);
  // Pieces that steer into the branches of the cleaning.
  const std::string pieces[] = {"&",
                                "#",
                                "x",
                                ";",
                                "&#",
                                "&#x",
                                "&amp;",
                                "&notit",
                                "\x1B[",
                                "1",
                                "m",
                                "'",
                                "'s",
                                "<|",
                                "|>",
                                "\r\n",
                                "\n",
                                " ",
                                "\u00C3",
                                "\u00A0",
                                "\u00C0",
                                "\u0080",
                                "\u00ED",
                                "\u00E2\u20AC\u2122",
                                "\uFFFD",
                                "\u001A",
                                "?",
                                "\u0130",
                                "\u03A3",
                                "\u0345",
                                "\u0301",
                                "\u017F",
                                "\U0001F44D",
                                "\uFF76",
                                "\u00F0\u009F",
                                "a",
                                "\xC3",
                                "\xFF",
                                "\xED\xA0\x80"};
  for (int run = 0; run < 20'000; ++run) {
    std::string bytes;
    const int length = random() % 40;
    for (int i = 0; i < length; ++i) {
      switch (run % 3) {
        case 0:
          bytes.push_back(static_cast<char>(random()));
          break;
        case 1:
          bytes += pieces[random() % std::size(pieces)];
          break;
        case 2: {
          const char32_t c = random() % 0x110000;
          if (c < 0xD800 || c > 0xDFFF) {
            bytes += base::EncodeUtf8(std::u32string(1, c));
          }
        }
      }
    }
    ExpectSoundAnswer(bytes);
  }
}

}  // namespace
}  // namespace clip
