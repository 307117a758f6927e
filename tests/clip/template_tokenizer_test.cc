#include "clip/template_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "clip/clip_tokenizer.h"
#include "clip/text/words.h"
#include "nlohmann/json.hpp"

namespace clip {
namespace {

const ClipTokenizer& SharedTokenizer() {
  static const auto* const tokenizer = new ClipTokenizer;
  return *tokenizer;
}

// What each template makes of each name equals the whole prompt's ids.
void ExpectAsWhole(const std::vector<std::vector<std::string>>& templates,
                   const std::vector<std::string>& names) {
  TemplateTokenizer prompts(&SharedTokenizer(), templates);
  for (const std::string& name : names) {
    prompts.SetName(name);
    for (size_t t = 0; t < templates.size(); ++t) {
      const std::string whole = absl::StrJoin(templates[t], name);
      const auto expected = SharedTokenizer().Encode(whole);
      const auto found = prompts.Encode(static_cast<int>(t));
      ASSERT_EQ(found.status(), expected.status()) << whole;
      if (expected.ok()) {
        ASSERT_EQ(*found, *expected) << "'" << name << "' in '" << whole << "'";
      }
    }
  }
}

std::vector<std::string> Lines(const std::string& path) {
  std::ifstream file(absl::StrCat(ZEROSHOT_SOURCE_DIR, "/data/", path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  EXPECT_FALSE(lines.empty()) << path;
  return lines;
}

TEST(TemplateTokenizerTest, AgreesOnImageNet) {
  std::vector<std::vector<std::string>> templates;
  for (const std::string& form : Lines("template_sets/openai-imagenet-80.txt"))
    templates.push_back(absl::StrSplit(form, "{}"));
  ExpectAsWhole(templates, Lines("class_sets/imagenet-1k.txt"));
}

// Whose ids no text put together has: they number its words.
class WordNumbers : public Tokenizer {
 public:
  absl::StatusOr<std::vector<int32_t>> Encode(
      absl::string_view text) const override {
    const std::vector<std::string> words = absl::StrSplit(text, ' ');
    std::vector<int32_t> ids(words.size());
    std::iota(ids.begin(), ids.end(), 0);
    return ids;
  }
  int32_t vocab_size() const override { return 100; }
  std::string description() const override { return "numbers"; }
};

TEST(TemplateTokenizerTest, WholePromptsAreOfATokenizerWhoseWordsDoNotPart) {
  const WordNumbers tokenizer;
  const std::vector<std::vector<std::string>> templates = {{"a photo of ", ""}};
  TemplateTokenizer prompts(&tokenizer, templates);
  prompts.SetName("a cat");
  EXPECT_THAT(*prompts.Encode(0), ::testing::ElementsAre(0, 1, 2, 3, 4));
}

// Each golden text, cut in three at random: the middle is the name.
TEST(TemplateTokenizerTest, AgreesWithTheReferenceOnGoldenStrings) {
  std::ifstream file(absl::StrCat(
      ZEROSHOT_SOURCE_DIR, "/tests/testdata/golden/tokens/strings.json"));
  const nlohmann::json golden = nlohmann::json::parse(file);
  std::mt19937 random(1);
  for (const auto& [text, ids] :
       golden
           .get<std::vector<std::pair<std::string, std::vector<int32_t>>>>()) {
    for (int cut = 0; cut < 20; ++cut) {
      const size_t begin = random() % (text.size() + 1);
      const size_t end = begin + random() % (text.size() - begin + 1);
      const std::vector<std::vector<std::string>> templates = {
          {text.substr(0, begin), text.substr(end)}};
      TemplateTokenizer prompts(&SharedTokenizer(), templates);
      const std::string name = text.substr(begin, end - begin);
      prompts.SetName(name);
      const auto found = prompts.Encode(0);
      ASSERT_TRUE(found.ok()) << found.status();
      ASSERT_EQ(*found, ids)
          << nlohmann::json(text).dump() << begin << " to " << end;
    }
  }
}

// All that reaches from one word into the next, and all that is not plain.
TEST(TemplateTokenizerTest, AgreesOnPiecesThatRunIntoEachOther) {
  const std::vector<std::string> parts = {
      "'",           "s",     "'s",      "'l",     "l",      "e",      "r",
      "'r",          "v",     "t",       "m",      "d",      "D",      "LL",
      "<",           "<|",    "|>",      "|",      "start",  "oftext", ">",
      "startoftext", "endof", "text",    "1",      "23",     " ",      "\t",
      "\n",          "  ",    ".",       "!",      "-",      "a",      "photo",
      "The",         "&",     "amp;",    "&lt;",   "\u00e9", "\u00c3", "\u00a9",
      "\u017f",      "\xff",  "\x1b[1m", "\u3000", "",       ""};
  std::mt19937 random(1);
  const auto text = [&](int most) {
    std::string made;
    for (int i = random() % (most + 1); i > 0; --i)
      made += parts[random() % parts.size()];
    return made;
  };
  // Mostly plain, or nearly all would be tokenised whole.
  const auto plain = [&](int most) {
    std::string made;
    for (int i = random() % (most + 1); i > 0; --i)
      made += parts[random() % 36];
    return made;
  };
  for (int run = 0; run < 4000; ++run) {
    std::vector<std::vector<std::string>> templates(5);
    for (std::vector<std::string>& pieces : templates) {
      pieces.resize(1 + random() % 4);
      for (std::string& piece : pieces)
        piece = run % 4 == 0 ? text(4) : plain(4);
    }
    std::vector<std::string> names(5);
    for (std::string& name : names) name = run % 4 == 0 ? text(4) : plain(4);
    ExpectAsWhole(templates, names);
    if (HasFatalFailure()) return;
  }
}

TEST(PartWordsTest, SaysNoWhereAWordMayReachOver) {
  for (const auto& [left, right] :
       std::vector<std::pair<std::string, std::string>>{{"photo", "graph"},
                                                        {"it'", "s"},
                                                        {"they'l", "l"},
                                                        {".", "."},
                                                        {"<|startoftext|", ">"},
                                                        {"<", "|endoftext|>"},
                                                        {"it'", "S"}}) {
    EXPECT_FALSE(PartWords(left, right)) << left << " + " << right;
  }
  for (const auto& [left, right] :
       std::vector<std::pair<std::string, std::string>>{
           {"a photo of a ", "cat"},
           {"cat", "."},
           {"cat", "'s"},
           {"a", "1"},
           {"it' ", "s"}}) {
    EXPECT_TRUE(PartWords(left, right)) << left << " + " << right;
  }
}

}  // namespace
}  // namespace clip
