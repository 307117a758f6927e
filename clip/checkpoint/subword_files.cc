// Folders that bring their own tokenizer: which class of transformers'
// tokenizer_config.json names, and what that class makes of the files.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/quoted.h"
#include "clip/checkpoint/config_reader.h"
#include "clip/checkpoint/formats.h"
#include "clip/checkpoint/mapped_file.h"
#include "clip/subword_tokenizer.h"

namespace clip {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr char kConfig[] = "tokenizer_config.json";
constexpr char kSpecialTokens[] = "special_tokens_map.json";
constexpr char kJson[] = "tokenizer.json";
constexpr int kMaxExtraIds = 10000;

// What is known of a class where the files do not say it.
struct KnownClass {
  const char* name;
  JsonUse::Steps steps;
  const char* pad_token;  // null: none
  bool pads_left;
};
constexpr KnownClass kClasses[] = {
    // Any tokenizer.json, as it is.
    {"", JsonUse::Steps::kOfFile, nullptr, false},
    {"TokenizersBackend", JsonUse::Steps::kOfFile, nullptr, false},
    {"PreTrainedTokenizer", JsonUse::Steps::kOfFile, nullptr, false},
    {"SiglipTokenizer", JsonUse::Steps::kOfFile, "</s>", false},
    {"T5Tokenizer", JsonUse::Steps::kT5, "<pad>", false},
    {"GemmaTokenizer", JsonUse::Steps::kGemma, "<pad>", true},
    {"Siglip2Tokenizer", JsonUse::Steps::kSiglip2, "<pad>", true},
    {"BertTokenizer", JsonUse::Steps::kOfFile, "[PAD]", false},
    {"XLMRobertaTokenizer", JsonUse::Steps::kXlmRoberta, "<pad>", false},
};

// With 0 in a token's place: open_clip's strip_sep_token.
class StrippingTokenizer : public Tokenizer {
 public:
  StrippingTokenizer(std::shared_ptr<const Tokenizer> tokenizer, int32_t id)
      : tokenizer_(std::move(tokenizer)), id_(id) {}

  absl::StatusOr<std::vector<int32_t>> Encode(
      absl::string_view text) const override {
    absl::StatusOr<std::vector<int32_t>> ids = tokenizer_->Encode(text);
    if (ids.ok()) std::replace(ids->begin(), ids->end(), id_, 0);
    return ids;
  }
  int32_t vocab_size() const override { return tokenizer_->vocab_size(); }
  std::string description() const override {
    return absl::StrCat(tokenizer_->description(), " 0 for ", id_);
  }

 private:
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const int32_t id_;
};

class FolderReader {
 public:
  FolderReader(const std::string& folder, TextCleaning cleaning)
      : folder_(folder), cleaning_(cleaning) {}

  absl::Status Read(const TokenizerClass& fallback, Checkpoint* checkpoint) {
    for (const auto& [name, to] :
         {std::pair{kConfig, &config_}, std::pair{kSpecialTokens, &special_}}) {
      if (!Exists(name)) continue;
      absl::StatusOr<json> read = ReadJsonObject(folder_ + "/" + name);
      if (!read.ok()) return read.status();
      *to = *std::move(read);
    }
    absl::Status status;
    ConfigReader config(config_, "", &status);
    std::string name = config.Text("tokenizer_class", fallback.name);
    if (fallback.always) name = fallback.name;
    class_ = Find(absl::StripSuffix(name, "Fast"));
    if (status.ok() && class_ == nullptr) {
      return InFile(kConfig, absl::InvalidArgumentError(absl::StrCat(
                                 "the tokenizer is a ", base::Quoted(name),
                                 ", which is not supported")));
    }
    if (status.ok() && class_->name == std::string("SiglipTokenizer"))
      config.Expect("do_lower_case", true);
    const std::string side = config.Text(
        "padding_side", class_ && class_->pads_left ? "left" : "right");
    if (side != "left") config.Expect("padding_side", "right");
    if (!status.ok()) return InFile(kConfig, status);

    if (status.ok() && class_->steps == JsonUse::Steps::kXlmRoberta)
      config.Expect("add_prefix_space", true);
    if (!status.ok()) return InFile(kConfig, status);
    const Made made = Make(fallback.origin);
    if (!made.ok()) return made.status();
    checkpoint->tokenizer = *made;
    if (fallback.strip_sep) {
      const std::string sep = Special("sep_token", "[SEP]");
      const std::optional<int32_t> id = (*made)->IdOf(sep);
      if (!id) return NoToken("sep_token", sep);
      checkpoint->tokenizer = std::make_shared<StrippingTokenizer>(*made, *id);
    }
    checkpoint->architecture.pad_left = side == "left";
    if (checkpoint->architecture.text_mask == TextMask::kCausal)
      return absl::OkStatus();
    const std::string pad = Special("pad_token", class_->pad_token);
    const std::optional<int32_t> id = (*made)->IdOf(pad);
    if (!id) return NoToken("pad_token", pad);
    checkpoint->architecture.pad_token = *id;
    return absl::OkStatus();
  }

 private:
  using Made = absl::StatusOr<std::shared_ptr<const SubwordTokenizer>>;

  static const KnownClass* Find(absl::string_view name) {
    for (const KnownClass& known : kClasses) {
      if (name == known.name) return &known;
    }
    return nullptr;
  }

  static absl::Status NoToken(const std::string& key,
                              const std::string& token) {
    return InFile(kConfig, absl::InvalidArgumentError(absl::StrCat(
                               "'", key, "' is ", base::Quoted(token),
                               ", which is no token of its vocabulary")));
  }

  static absl::Status InFile(const std::string& file,
                             const absl::Status& status) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", file, "': ", status.message()));
  }

  bool Exists(const std::string& name) const {
    std::error_code error;
    return fs::exists(fs::path(folder_) / name, error);
  }

  // The first of `names` that is there; empty if none is.
  std::string FirstOf(std::initializer_list<const char*> names) const {
    for (const char* name : names) {
      if (Exists(name)) return name;
    }
    return "";
  }

  // A special token's spelling: a text, or an object with it.
  std::string Special(const std::string& key, const char* fallback) const {
    for (const json* from : {&config_, &special_}) {
      if (!from->is_object() || !from->contains(key)) continue;
      const json& value = (*from)[key];
      const json content =
          value.is_object() ? value.value("content", json()) : value;
      if (content.is_string()) return content.get<std::string>();
    }
    return fallback == nullptr ? "" : fallback;
  }

  // Calls `read` with the file's bytes; its error with the file's name.
  template <typename ReadBytes>
  Made WithFile(const std::string& name, const ReadBytes& read) const {
    auto file = MappedFile::Open(folder_ + "/" + name);
    if (!file.ok()) return file.status();
    const absl::Span<const uint8_t> bytes = (*file)->bytes();
    absl::StatusOr<std::unique_ptr<SubwordTokenizer>> made =
        read(absl::string_view(reinterpret_cast<const char*>(bytes.data()),
                               bytes.size()));
    if (!made.ok()) return InFile(name, made.status());
    return std::shared_ptr<const SubwordTokenizer>(*std::move(made));
  }

  // Whether the configuration has such a key, and what it says.
  std::optional<bool> Adds(const char* key) const {
    if (!config_.is_object() || !config_.contains(key)) return std::nullopt;
    return config_[key] == true;
  }

  Made Make(const std::string& origin) const {
    const std::string name = class_->name;
    if (name == "SiglipTokenizer") {
      if (!Exists("spiece.model"))
        return absl::InvalidArgumentError(
            "the tokenizer is a SiglipTokenizer, and there is no "
            "'spiece.model'");
      return WithFile("spiece.model", [&](absl::string_view bytes) {
        return ReadSentencePiece(bytes, SentencePieceUse::kSiglip, cleaning_);
      });
    }
    JsonUse use{class_->steps, std::nullopt};
    const std::optional<bool> begin = Adds("add_bos_token"),
                              end = Adds("add_eos_token");
    if (begin || end) {
      use.around = {begin.value_or(false) ? Special("bos_token", "<bos>") : "",
                    end.value_or(false) ? Special("eos_token", "<eos>") : ""};
    }
    if (Exists(kJson)) {
      return WithFile(kJson, [&](absl::string_view bytes) {
        return ReadTokenizerJson(bytes, cleaning_, use);
      });
    }
    if (name == "BertTokenizer" && Exists("vocab.txt")) {
      const bool lower = Adds("do_lower_case").value_or(true);
      return WithFile("vocab.txt", [&](absl::string_view bytes) {
        return ReadBertVocabulary(bytes, lower, cleaning_);
      });
    }
    // The model that the JSON file was made of.
    const std::string pieces = FirstOf({"tokenizer.model", "spiece.model"});
    if (!pieces.empty() && class_->steps == JsonUse::Steps::kGemma) {
      return WithFile(pieces, [&](absl::string_view bytes) {
        return ReadSentencePiece(bytes,
                                 end.value_or(false) ? SentencePieceUse::kEnd
                                                     : SentencePieceUse::kPlain,
                                 cleaning_);
      });
    }
    const bool xlm = class_->steps == JsonUse::Steps::kXlmRoberta;
    const std::string unigram =
        FirstOf({xlm ? "sentencepiece.bpe.model" : "spiece.model"});
    if (!unigram.empty() && (xlm || class_->steps == JsonUse::Steps::kT5)) {
      absl::Status status;
      const int extra_ids =
          ConfigReader(config_, "", &status).Int("extra_ids", 100);
      if (status.ok() && (extra_ids < 0 || extra_ids > kMaxExtraIds)) {
        status = absl::InvalidArgumentError(
            absl::StrCat("'extra_ids' is ", extra_ids, "; 0 to ", kMaxExtraIds,
                         " is allowed"));
      }
      if (!status.ok()) return InFile(kConfig, status);
      return WithFile(unigram, [&](absl::string_view bytes) {
        return ReadPiecesAsJson(bytes, cleaning_, use, extra_ids);
      });
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "the folder lacks 'tokenizer.json', and its model has another "
        "tokenizer than CLIP's",
        origin.empty() ? ""
                       : absl::StrCat(": put that of ", base::Quoted(origin),
                                      " and its 'tokenizer_config.json' "
                                      "there")));
  }

  const std::string folder_;
  const TextCleaning cleaning_;
  json config_, special_;
  const KnownClass* class_ = nullptr;
};

}  // namespace

absl::Status ReadTokenizerFiles(const std::string& folder,
                                const TokenizerClass& fallback,
                                TextCleaning cleaning, Checkpoint* checkpoint) {
  return FolderReader(folder, cleaning).Read(fallback, checkpoint);
}

}  // namespace clip
