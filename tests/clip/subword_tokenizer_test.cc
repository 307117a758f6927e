#include "clip/subword_tokenizer.h"

#include <cstdint>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace clip {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using Made = absl::StatusOr<std::unique_ptr<SubwordTokenizer>>;

std::string Golden(const std::string& name) {
  std::ifstream file(absl::StrCat(ZEROSHOT_SOURCE_DIR,
                                  "/tests/testdata/golden/tokenizers/", name));
  EXPECT_TRUE(file.is_open()) << name;
  return {std::istreambuf_iterator<char>(file),
          std::istreambuf_iterator<char>()};
}

// By the names of tests/clip/tokenize_lines.cc.
Made Read(const std::string& kind, const std::string& file,
          const std::string& clean = "") {
  const TextCleaning cleaning =
      TextCleaningNamed(clean).value_or(TextCleaning::kNone);
  if (kind == "json") return ReadTokenizerJson(file, cleaning);
  if (kind == "t5" || kind == "xlm") {
    const auto steps =
        kind == "t5" ? JsonUse::Steps::kT5 : JsonUse::Steps::kXlmRoberta;
    return ReadPiecesAsJson(file, cleaning, {steps, {}});
  }
  if (kind == "bert" || kind == "BERT")
    return ReadBertVocabulary(file, kind == "bert", cleaning);
  return ReadSentencePiece(file,
                           kind == "plain" ? SentencePieceUse::kPlain
                           : kind == "end" ? SentencePieceUse::kEnd
                                           : SentencePieceUse::kSiglip,
                           cleaning);
}

std::string Refusal(const std::string& kind, const std::string& file) {
  const Made made = Read(kind, file);
  EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(made.status().message());
}

// A tokenizer.json of words, with parts replaced.
std::string SmallJson(const json& replaced) {
  json file = {{"added_tokens", json::array()},
               {"normalizer", nullptr},
               {"pre_tokenizer", {{"type", "WhitespaceSplit"}}},
               {"post_processor", nullptr},
               {"model",
                {{"type", "WordPiece"},
                 {"unk_token", "?"},
                 {"vocab", {{"?", 0}, {"a", 1}, {"##b", 2}, {"c", 3}}}}}};
  file.update(replaced);
  return file.dump();
}

TEST(SubwordTokenizerTest, AgreesWithTheLibrariesOnGoldenStrings) {
  const json cases = json::parse(Golden("cases.json"));
  ASSERT_GE(cases.size(), 10);
  for (const json& one : cases) {
    const Made made = Read(one["kind"], Golden(one["file"]), one["clean"]);
    ASSERT_TRUE(made.ok()) << one["name"] << made.status();
    EXPECT_GE(one["strings"].size(), 40);
    for (const json& string : one["strings"]) {
      const auto ids = (*made)->Encode(string[0].get<std::string>());
      ASSERT_TRUE(ids.ok()) << ids.status();
      EXPECT_EQ(*ids, string[1].get<std::vector<int32_t>>())
          << one["name"] << " " << string[0].dump();
    }
  }
}

TEST(SubwordTokenizerTest, KnowsItsTokensByTheirSpelling) {
  const auto pieces = *Read("end", Golden("unigram.model"));
  EXPECT_EQ(pieces->IdOf("<pad>"), 0);
  EXPECT_EQ(pieces->IdOf("</s>"), 1);
  EXPECT_EQ(pieces->IdOf("<unk>"), 2);
  EXPECT_EQ(pieces->IdOf("not a piece"), std::nullopt);
  EXPECT_EQ(pieces->vocab_size(), 1200);
  // One of the two added tokens is no piece of the model's.
  const auto t5 = *Read("json", Golden("t5.json"));
  EXPECT_EQ(t5->IdOf("Tiger Cat"), 1200);
  EXPECT_EQ(t5->vocab_size(), 1202);
}

TEST(SubwordTokenizerTest, IsDescribedByItsFileAndItsUse) {
  const std::string file = Golden("unigram.model");
  const std::string plain = (*Read("plain", file))->description();
  EXPECT_NE(plain, (*Read("end", file))->description());
  EXPECT_NE(plain, (*Read("plain", file, "lower"))->description());
  EXPECT_NE(plain, (*Read("plain", Golden("bpe.model")))->description());
  EXPECT_EQ(plain, (*Read("plain", file))->description());
}

TEST(SubwordTokenizerTest, EncodesAnEmptyText) {
  EXPECT_THAT(*(*Read("plain", Golden("unigram.model")))->Encode(""),
              ElementsAre());
  EXPECT_THAT(*(*Read("end", Golden("unigram.model")))->Encode(" \u3000"),
              ElementsAre(1));
  EXPECT_THAT(*(*Read("BERT", Golden("vocab.txt")))->Encode(""),
              ElementsAre(2, 3));
}

TEST(SubwordTokenizerTest, RefusesTextThatIsNotUtf8ByItsOffset) {
  for (const auto& [kind, file] :
       {std::pair{"plain", "unigram.model"},
        std::pair{"siglip", "unigram.model"}, std::pair{"json", "gemma.json"},
        std::pair{"bert", "vocab.txt"}}) {
    const auto ids = (*Read(kind, Golden(file)))->Encode("ab\xff");
    EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(ids.status().message()), HasSubstr("2"));
  }
}

// Words that the model merges from the inside out, and thousands of them.
TEST(SubwordTokenizerTest, TakesTimeInProportionToLongTexts) {
  const std::string text(1 << 18, 'a');
  for (const char* file : {"unigram_fold.model", "gemma.model"}) {
    const auto ids = (*Read("plain", Golden(file)))->Encode(text);
    ASSERT_TRUE(ids.ok());
    EXPECT_GT(ids->size(), text.size() / 20);
  }
}

TEST(SubwordTokenizerTest, NamesWhatAFileHasThatIsNotSupported) {
  const auto refused = [](const json& replaced) {
    return Refusal("json", SmallJson(replaced));
  };
  EXPECT_TRUE(Read("json", SmallJson(json::object())).ok());
  EXPECT_THAT(refused({{"normalizer", {{"type", "Nmt"}}}}),
              HasSubstr(R"(normalizer {"type":"Nmt"} is not supported)"));
  EXPECT_THAT(refused({{"normalizer",
                        {{"type", "Replace"},
                         {"pattern", {{"Regex", "a+"}}},
                         {"content", "b"}}}}),
              HasSubstr("a+"));
  EXPECT_THAT(refused({{"pre_tokenizer", {{"type", "ByteLevel"}}}}),
              HasSubstr(R"(pre_tokenizer {"type":"ByteLevel"} is not)"));
  EXPECT_THAT(refused({{"post_processor", {{"type", "Other"}}}}),
              HasSubstr(R"(post_processor {"type":"Other"} is not)"));
  EXPECT_THAT(
      refused({{"model", {{"type", "WordLevel"}, {"vocab", {{"a", 0}}}}}}),
      HasSubstr("'WordLevel' is not supported"));
  EXPECT_THAT(
      refused({{"added_tokens",
                {{{"id", 4}, {"content", "x"}, {"single_word", true}}}}}),
      HasSubstr("single_word"));
  EXPECT_THAT(refused({{"model",
                        {{"type", "BPE"},
                         {"vocab", {{"a", 0}, {"a</w>", 1}}},
                         {"end_of_word_suffix", "</w>"}}}}),
              HasSubstr("'end_of_word_suffix'"));
}

TEST(SubwordTokenizerTest, NamesWhatIsWrongWithAFile) {
  const auto refused = [](const json& replaced) {
    return Refusal("json", SmallJson(replaced));
  };
  EXPECT_THAT(Refusal("json", "{"), HasSubstr("not JSON"));
  EXPECT_THAT(Refusal("json", "[]"), HasSubstr("not JSON, or no object"));
  EXPECT_THAT(Refusal("json", std::string(1 << 20, '[')),
              HasSubstr("nested too deeply"));
  EXPECT_THAT(refused({{"model", nullptr}}), HasSubstr("no vocabulary"));
  EXPECT_THAT(refused({{"model", {{"type", "BPE"}, {"vocab", {{"a", -1}}}}}}),
              HasSubstr("token 'a' has no id from 0"));
  EXPECT_THAT(refused({{"model",
                        {{"type", "BPE"},
                         {"vocab", {{"a", 0}, {"b", 1}}},
                         {"merges", {"a b"}}}}}),
              HasSubstr("merge 0 of 'a' and 'b'"));
  EXPECT_THAT(refused({{"model",
                        {{"type", "Unigram"},
                         {"vocab", json::array({json::array({"a", -1.5}),
                                                json::array({"b"})})}}}}),
              HasSubstr("item 1 of its vocabulary"));
  EXPECT_THAT(refused({{"model",
                        {{"type", "Unigram"},
                         {"vocab", json::array({json::array({"a", -1.5}),
                                                json::array({"b", -2.5})})},
                         {"unk_id", 2}}}}),
              HasSubstr("'unk_id' from 0 to 1"));
  EXPECT_THAT(refused({{"added_tokens", {{{"id", 7}, {"content", "x"}}}}}),
              HasSubstr("another id than 4"));
  EXPECT_THAT(
      refused({{"normalizer",
                {{"type", "Precompiled"}, {"precompiled_charsmap", "AAAA"}}}}),
      HasSubstr("charsmap of 3 bytes is damaged"));
  EXPECT_THAT(Refusal("bert", "[UNK]\n[CLS]\n"), HasSubstr("[SEP]"));
}

TEST(SubwordTokenizerTest, RefusesDamagedSentencePieceModels) {
  EXPECT_THAT(Refusal("plain", ""), HasSubstr("0 pieces"));
  EXPECT_THAT(Refusal("plain", "<html>"), HasSubstr("no SentencePiece model"));
  // A piece whose score is a varint.
  EXPECT_THAT(Refusal("plain", {"\x0a\x05\x0a\x01x\x10\x01", 7}),
              HasSubstr("piece 0 cannot be read"));
  // One normal piece only.
  EXPECT_THAT(Refusal("plain", {"\x0a\x03\x0a\x01x", 5}),
              HasSubstr("no unknown piece"));
  // A model that cuts into characters.
  EXPECT_THAT(
      Refusal("plain", {"\x0a\x05\x0a\x01x\x18\x02\x12\x02\x18\x04", 11}),
      HasSubstr("characters"));
  // Cut short anywhere it is refused or another whole model; never read beyond.
  const std::string whole = Golden("unigram_fold.model");
  for (size_t size = 1; size < whole.size(); size += 97) {
    const Made made = Read("plain", whole.substr(0, size));
    if (made.ok()) {
      EXPECT_TRUE((*made)->Encode("a photo").ok());
    }
  }
}

TEST(TextCleaningTest, CleansAsOpenClipDoes) {
  const std::string text = " A&amp;B  caf\u00c3\u00a9_x\u00a0(y)\x1c! ";
  EXPECT_EQ(*CleanText(text, TextCleaning::kNone), text);
  EXPECT_EQ(*CleanText(text, TextCleaning::kWhitespace),
            "A&B caf\u00e9_x (y)!");
  EXPECT_EQ(*CleanText(text, TextCleaning::kWhitespaceUnderscore),
            "A&B caf\u00e9 x (y)!");
  EXPECT_EQ(*CleanText(text, TextCleaning::kLower), "a&b caf\u00e9_x (y)!");
  EXPECT_EQ(*CleanText(text, TextCleaning::kCanonicalize), "ab caf\u00e9 x y");
  EXPECT_EQ(CanonicalizeForSiglip(" A_B  \u039f\u0394\u039f\u03a3! "),
            "ab \u03bf\u03b4\u03bf\u03c2");
}

}  // namespace
}  // namespace clip
