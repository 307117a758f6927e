// Hugging Face folders carry their tokenizer along. We have CLIP's built in,
// so that the files are not read for what they hold, but a folder whose files
// are another tokenizer's would be served with wrong tokens.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/sha256.h"
#include "clip/checkpoint/config_reader.h"
#include "clip/checkpoint/formats.h"
#include "clip/clip_tokenizer.h"

namespace clip {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr char kOnlyClips[] = "supported is only CLIP's own tokenizer";

// Of the 49,408 tokens in the order of their ids, each as a field.
constexpr char kVocabularyHash[] =
    "dcdba31b53f7018733624cf84b134336371b5bf0774db4403494b70be1ae4c47";

absl::Status Refused(const std::string& file, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("'", file, "': ", what, "; ", kOnlyClips));
}

// `vocabulary` maps tokens to ids.
absl::Status CheckVocabulary(const std::string& file, const json& vocabulary) {
  if (!vocabulary.is_object())
    return Refused(file, "its vocabulary is no object of tokens and ids");
  std::vector<std::string> tokens(ClipTokenizer::kVocabSize);
  // Some files have these two as added tokens only.
  tokens[ClipTokenizer::kStartOfText] = "<|startoftext|>";
  tokens[ClipTokenizer::kEndOfText] = "<|endoftext|>";
  for (const auto& [token, id] : vocabulary.items()) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 ||
        id.get<int64_t>() >= ClipTokenizer::kVocabSize) {
      return Refused(file, absl::StrCat("its token ", base::Quoted(token),
                                        " has no id from 0 to ",
                                        ClipTokenizer::kVocabSize - 1));
    }
    tokens[id.get<int64_t>()] = token;
  }
  base::Sha256 hash;
  for (const std::string& token : tokens) hash.UpdateField(token);
  if (hash.HexDigest() == kVocabularyHash) return absl::OkStatus();
  return Refused(file, absl::StrCat("it has another vocabulary (",
                                    vocabulary.size(), " tokens)"));
}

// "BertTokenizer"; the classes that could hold anything are judged by
// tokenizer.json.
bool MayBeClips(const std::string& tokenizer) {
  static constexpr const char* kNames[] = {
      "", "CLIPTokenizer", "CLIPTokenizerFast", "PreTrainedTokenizerFast",
      "TokenizersBackend"};
  return std::find(std::begin(kNames), std::end(kNames), tokenizer) !=
         std::end(kNames);
}

absl::Status CheckConfig(const std::string& file, const json& root) {
  absl::Status status;
  ConfigReader config(root, "", &status);
  const std::string name = config.Text("tokenizer_class", "");
  if (status.ok() && !MayBeClips(name))
    return Refused(file,
                   absl::StrCat("the tokenizer is a ", base::Quoted(name)));
  config.Expect("do_lower_case", true);
  config.Expect("add_prefix_space", false);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(
      absl::StrCat("'", file, "': ", status.message()));
}

absl::Status CheckWhole(const std::string& file, const json& root) {
  const json model = root.value("model", json());
  if (!model.is_object()) return Refused(file, "it has no 'model'");
  const json type = model.value("type", json("BPE"));
  if (type != "BPE")
    return Refused(file, absl::StrCat("the tokenizer is a ", type.dump()));
  absl::Status vocabulary = CheckVocabulary(file, model.value("vocab", json()));
  if (!vocabulary.ok()) return vocabulary;
  if (!absl::StrContains(root.value("normalizer", json()).dump(),
                         "Lowercase")) {
    return Refused(file, "the tokenizer does not turn texts to lower case");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTokenizerFiles(const std::string& folder) {
  using Check = absl::Status (*)(const std::string& file, const json& root);
  static constexpr std::pair<const char*, Check> kFiles[] = {
      {"tokenizer_config.json", &CheckConfig},
      {"tokenizer.json", &CheckWhole},
      {"vocab.json", &CheckVocabulary}};
  const auto exists = [&](const char* name) {
    std::error_code error;
    return fs::exists(fs::path(folder) / name, error);
  };
  for (const auto& [name, check] : kFiles) {
    if (!exists(name)) continue;
    const absl::StatusOr<json> root =
        ReadJsonObject(absl::StrCat(folder, "/", name));
    if (!root.ok()) return root.status();
    absl::Status status = check(name, *root);
    if (!status.ok()) return status;
  }
  if (exists("tokenizer.json") || exists("vocab.json")) return absl::OkStatus();
  for (const char* other : {"vocab.txt", "spiece.model", "tokenizer.model",
                            "sentencepiece.bpe.model"}) {
    if (exists(other)) return Refused(other, "it is another tokenizer's");
  }
  return absl::OkStatus();
}

}  // namespace clip
