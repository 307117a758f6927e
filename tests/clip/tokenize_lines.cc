// Tokenizes JSON strings: one a line on stdin, the ids of each as a JSON
// array on stdout. tools/check_tokenizer.py compares CLIP's with the
// reference's. With --pieces each is cut in three at random, and tokenised as a
// template around a name.
//
// Other tokenizers, for tools/check_tokenizers.py:
//   tokenize_lines json|plain|end|siglip|t5|xlm|bert|BERT FILE [CLEANING]
// where json is tokenizer.json, the next five are uses of a SentencePiece
// model, and bert is a vocab.txt with lower case.
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "clip/clip_tokenizer.h"
#include "clip/subword_tokenizer.h"
#include "clip/template_tokenizer.h"
#include "nlohmann/json.hpp"

namespace {

using Ids = absl::StatusOr<std::vector<int32_t>>;

Ids EncodeInPieces(const clip::Tokenizer& tokenizer, const std::string& text,
                   std::mt19937* random) {
  const size_t begin = (*random)() % (text.size() + 1);
  const size_t end = begin + (*random)() % (text.size() - begin + 1);
  const std::vector<std::vector<std::string>> templates = {
      {text.substr(0, begin), text.substr(end)}};
  const std::string name = text.substr(begin, end - begin);
  clip::TemplateTokenizer prompts(&tokenizer, templates);
  prompts.SetName(name);
  return prompts.Encode(0);
}

absl::StatusOr<std::unique_ptr<clip::SubwordTokenizer>> Read(
    const std::string& kind, const std::string& path,
    const std::string& clean) {
  std::ifstream stream(path, std::ios::binary);
  const std::string file((std::istreambuf_iterator<char>(stream)),
                         std::istreambuf_iterator<char>());
  const auto cleaning =
      clean == "lower_each"
          ? clip::TextCleaning::kLowerEach
          : clip::TextCleaningNamed(clean).value_or(clip::TextCleaning::kNone);
  using clip::SentencePieceUse;
  if (kind == "json") return clip::ReadTokenizerJson(file, cleaning);
  if (kind == "t5" || kind == "xlm") {
    const auto steps = kind == "t5" ? clip::JsonUse::Steps::kT5
                                    : clip::JsonUse::Steps::kXlmRoberta;
    return clip::ReadPiecesAsJson(file, cleaning, {steps, {}});
  }
  if (kind == "bert" || kind == "BERT")
    return clip::ReadBertVocabulary(file, kind == "bert", cleaning);
  return clip::ReadSentencePiece(file,
                                 kind == "plain" ? SentencePieceUse::kPlain
                                 : kind == "end" ? SentencePieceUse::kEnd
                                                 : SentencePieceUse::kSiglip,
                                 cleaning);
}

}  // namespace

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  const clip::ClipTokenizer clips;
  std::unique_ptr<clip::SubwordTokenizer> other;
  if (argc > 2) {
    auto read = Read(argv[1], argv[2], argc > 3 ? argv[3] : "");
    if (!read.ok()) {
      std::cerr << read.status().ToString() << "\n";
      return 1;
    }
    other = *std::move(read);
  }
  const bool pieces = argc == 2 && absl::string_view(argv[1]) == "--pieces";
  std::mt19937 random(1);
  for (std::string line; std::getline(std::cin, line);) {
    const auto text = nlohmann::json::parse(line).get<std::string>();
    const Ids ids = other    ? other->Encode(text)
                    : pieces ? EncodeInPieces(clips, text, &random)
                             : clips.Encode(text);
    if (!ids.ok()) {
      std::cerr << ids.status().ToString() << "\n";
      return 1;
    }
    std::cout << nlohmann::json(*ids).dump() << "\n";
  }
}
