// Which tokenizer a folder has, by its files: classes, special tokens, padding.
// tests/parity/families_test.cc compares ids with the libraries'.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "clip/checkpoint/formats.h"
#include "tests/testing/temporary_folder.h"

namespace clip {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class SubwordFilesTest : public ::testing::Test {
 protected:
  SubwordFilesTest() {
    checkpoint_.architecture.text_mask = TextMask::kNone;
    checkpoint_.architecture.vocab_size = 2000;
  }

  void Config(const std::string& text) { Write("tokenizer_config.json", text); }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_.path() + "/" + name) << text;
  }
  // One of tests/testdata/golden/tokenizers, under another name.
  void Copy(const std::string& from, const std::string& to) {
    std::filesystem::copy_file(
        ZEROSHOT_SOURCE_DIR "/tests/testdata/golden/tokenizers/" + from,
        folder_.path() + "/" + to,
        std::filesystem::copy_options::overwrite_existing);
  }

  absl::Status Read(const TokenizerClass& fallback = {}) {
    return ReadTokenizerFiles(folder_.path(), fallback, TextCleaning::kNone,
                              &checkpoint_);
  }
  std::string Error(const TokenizerClass& fallback = {}) {
    const absl::Status status = Read(fallback);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  }
  std::vector<int32_t> Ids(const std::string& text) {
    return *checkpoint_.tokenizer->Encode(text);
  }

  const ::testing::TemporaryFolder folder_;
  Checkpoint checkpoint_;
};

TEST_F(SubwordFilesTest, NamesWhatIsNotThere) {
  EXPECT_THAT(Error({.origin = "some/words"}),
              AllOf(HasSubstr("lacks 'tokenizer.json'"),
                    HasSubstr("put that of 'some/words'")));
  EXPECT_THAT(Error({.name = "SiglipTokenizer"}),
              HasSubstr("there is no 'spiece.model'"));
  Config(R"({"tokenizer_class": "NllbTokenizerFast"})");
  EXPECT_THAT(Error(),
              HasSubstr("the tokenizer is a 'NllbTokenizerFast', which "
                        "is not supported"));
  Config(R"({"tokenizer_class": "GemmaTokenizer"})");
  Write("tokenizer.json", "{}");
  EXPECT_THAT(Error(), HasSubstr("'tokenizer.json': "));
  Config("[]");
  EXPECT_THAT(Error(),
              HasSubstr("'tokenizer_config.json' is not a JSON object"));
}

TEST_F(SubwordFilesTest, PadsAsTheFilesSayOrAsTheClassDoes) {
  Copy("gemma.json", "tokenizer.json");
  Config(R"({"tokenizer_class": "GemmaTokenizer"})");
  ASSERT_TRUE(Read().ok());
  EXPECT_TRUE(checkpoint_.architecture.pad_left);
  EXPECT_EQ(checkpoint_.architecture.pad_token, 0);
  Config(R"({"tokenizer_class": "GemmaTokenizer", "padding_side": "right",
             "pad_token": {"content": "<unk>"}})");
  ASSERT_TRUE(Read().ok());
  EXPECT_FALSE(checkpoint_.architecture.pad_left);
  EXPECT_EQ(checkpoint_.architecture.pad_token, 3);
  Config(R"({"tokenizer_class": "GemmaTokenizer", "pad_token": "<nothing>"})");
  EXPECT_THAT(Error(),
              HasSubstr("'pad_token' is '<nothing>', which is no token"));
  // Without a class no token is known to pad with; a map of tokens may say it.
  Config("{}");
  EXPECT_THAT(Error(), HasSubstr("'pad_token' is ''"));
  Write("special_tokens_map.json", R"({"pad_token": "</s>"})");
  ASSERT_TRUE(Read().ok());
  EXPECT_EQ(checkpoint_.architecture.pad_token, 1);
  EXPECT_FALSE(checkpoint_.architecture.pad_left);
  Config(R"({"padding_side": "above"})");
  EXPECT_THAT(Error(), HasSubstr("'padding_side' is \"above\""));
}

TEST_F(SubwordFilesTest, ACausalTowerNeedsNoPadding) {
  checkpoint_.architecture.text_mask = TextMask::kCausal;
  Copy("gemma.json", "tokenizer.json");
  EXPECT_TRUE(Read().ok());
}

TEST_F(SubwordFilesTest, AddsTheTokensAroundATextThatTheConfigurationSays) {
  Copy("gemma.json", "tokenizer.json");
  const std::string start =
      R"({"tokenizer_class": "GemmaTokenizer", "bos_token": "<s>",
          "eos_token": "</s>")";
  Config(start + "}");  // the file's own: an end token
  ASSERT_TRUE(Read().ok());
  EXPECT_THAT(Ids(""), ElementsAre(1));
  Config(start + R"(, "add_bos_token": true, "add_eos_token": true})");
  ASSERT_TRUE(Read().ok());
  EXPECT_THAT(Ids(""), ElementsAre(2, 1));
  Config(start + R"(, "add_bos_token": false})");
  ASSERT_TRUE(Read().ok());
  EXPECT_THAT(Ids(""), ElementsAre());
}

TEST_F(SubwordFilesTest, AClassKeepsTheVocabularyAndMakesTheStepsItself) {
  // The file turns texts to lower case, GemmaTokenizer does not.
  Copy("gemma.json", "tokenizer.json");
  Config(R"({"pad_token": "<pad>"})");
  ASSERT_TRUE(Read().ok());
  const std::string as_written = checkpoint_.tokenizer->description();
  EXPECT_EQ(Ids("A Dog"), Ids("a dog"));
  Config(R"({"tokenizer_class": "GemmaTokenizer"})");
  ASSERT_TRUE(Read().ok());
  EXPECT_NE(Ids("A Dog"), Ids("a dog"));
  EXPECT_NE(checkpoint_.tokenizer->description(), as_written);
  ASSERT_TRUE(Read({.name = "Siglip2Tokenizer", .always = true}).ok());
  EXPECT_EQ(Ids("A Dog"), Ids("a dog"));
}

TEST_F(SubwordFilesTest, AModelDoesWhereThereIsNoJson) {
  Copy("unigram.model", "spiece.model");
  Config(R"({"tokenizer_class": "T5TokenizerFast"})");
  ASSERT_TRUE(Read().ok());
  const int32_t with_sentinels = checkpoint_.tokenizer->vocab_size();
  EXPECT_THAT(Ids(""), ElementsAre(1));
  Config(R"({"tokenizer_class": "T5Tokenizer", "extra_ids": 0})");
  ASSERT_TRUE(Read().ok());
  EXPECT_EQ(checkpoint_.tokenizer->vocab_size(), with_sentinels - 100);
  Config(R"({"tokenizer_class": "T5Tokenizer", "extra_ids": -1})");
  EXPECT_THAT(Error(), HasSubstr("'extra_ids' is -1; 0 to"));

  Config(R"({"tokenizer_class": "XLMRobertaTokenizer"})");
  EXPECT_THAT(Error(), HasSubstr("lacks 'tokenizer.json'"));
  Copy("bpe.model", "sentencepiece.bpe.model");
  EXPECT_THAT(Error(), AllOf(HasSubstr("'sentencepiece.bpe.model': "),
                             HasSubstr("not of the kind unigram")));
  Copy("unigram_fold.model", "sentencepiece.bpe.model");
  ASSERT_TRUE(Read().ok());
  EXPECT_THAT(Ids(""), ElementsAre(0, 2));
  EXPECT_EQ(checkpoint_.architecture.pad_token, 1);
}

TEST_F(SubwordFilesTest, StripsTheSeparator) {
  Copy("bert.json", "tokenizer.json");
  Config(R"({"tokenizer_class": "BertTokenizer"})");
  ASSERT_TRUE(Read().ok());
  EXPECT_THAT(Ids(""), ElementsAre(2, 3));
  ASSERT_TRUE(Read({.strip_sep = true}).ok());
  EXPECT_THAT(Ids(""), ElementsAre(2, 0));
  EXPECT_EQ(checkpoint_.architecture.pad_token, 0);
}

TEST_F(SubwordFilesTest, RefusesATokenizerOfMoreTokensThanTheTableHas) {
  Copy("gemma.json", "tokenizer.json");
  Config(R"({"tokenizer_class": "GemmaTokenizer"})");
  ASSERT_TRUE(Read().ok());
  EXPECT_TRUE(CheckVocabulary(checkpoint_).ok());
  checkpoint_.architecture.vocab_size = 100;
  EXPECT_THAT(std::string(CheckVocabulary(checkpoint_).message()),
              AllOf(HasSubstr("has 100 tokens"), HasSubstr("another model's"),
                    Not(HasSubstr("CLIP"))));
}

}  // namespace
}  // namespace clip
