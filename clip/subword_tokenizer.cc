#include "clip/subword_tokenizer.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "base/sha256.h"
#include "base/utf8.h"
#include "clip/text/added_tokens.h"
#include "clip/text/json_classes.h"
#include "clip/text/json_tokenizer.h"
#include "clip/text/sentencepiece.h"
#include "clip/text/sentencepiece_model.h"
#include "clip/text/unicode.h"

namespace clip {
namespace {

std::string HashOf(absl::string_view file) {
  base::Sha256 hash;
  hash.UpdateField(file);
  return hash.HexDigest();
}

// What all have: the size of a text, its cleaning, the description.
class CleaningTokenizer : public SubwordTokenizer {
 public:
  CleaningTokenizer(absl::string_view kind, absl::string_view file,
                    TextCleaning cleaning)
      : cleaning_(cleaning),
        description_(absl::StrCat(kind, " sha256=", HashOf(file),
                                  " clean=", TextCleaningName(cleaning))) {}

  absl::StatusOr<std::vector<int32_t>> Encode(
      absl::string_view text) const final {
    if (text.size() > base::kMaxTextBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("text has ", text.size(), " bytes; at most ",
                       base::kMaxTextBytes, " are allowed"));
    }
    const absl::StatusOr<std::string> cleaned = CleanText(text, cleaning_);
    if (!cleaned.ok()) return cleaned.status();
    std::vector<int32_t> ids;
    Append(*cleaned, &ids);
    return ids;
  }

  std::string description() const final { return description_; }

 private:
  virtual void Append(const std::string& text,
                      std::vector<int32_t>* ids) const = 0;

  const TextCleaning cleaning_;
  const std::string description_;
};

class FromTokenizerJson final : public CleaningTokenizer {
 public:
  FromTokenizerJson(std::unique_ptr<const JsonTokenizer> tokenizer,
                    absl::string_view kind, absl::string_view file,
                    TextCleaning cleaning)
      : CleaningTokenizer(kind, file, cleaning),
        tokenizer_(std::move(tokenizer)) {}

  int32_t vocab_size() const override { return tokenizer_->vocab_size(); }
  std::optional<int32_t> IdOf(absl::string_view token) const override {
    return tokenizer_->IdOf(token);
  }

 private:
  void Append(const std::string& text,
              std::vector<int32_t>* ids) const override {
    tokenizer_->Append(text, ids);
  }

  const std::unique_ptr<const JsonTokenizer> tokenizer_;
};

class FromSentencePiece : public CleaningTokenizer {
 public:
  // `end` is appended, if there is one.
  FromSentencePiece(std::unique_ptr<const SentencePiece> pieces,
                    absl::string_view kind, std::optional<int32_t> end,
                    absl::string_view file, TextCleaning cleaning)
      : CleaningTokenizer(kind, file, cleaning),
        pieces_(std::move(pieces)),
        end_(end) {}

  int32_t vocab_size() const override { return pieces_->vocab_size(); }
  std::optional<int32_t> IdOf(absl::string_view token) const override {
    return pieces_->IdOf(token);
  }

 protected:
  const SentencePiece& pieces() const { return *pieces_; }
  std::optional<int32_t> end() const { return end_; }

 private:
  void Append(const std::string& text,
              std::vector<int32_t>* ids) const override {
    pieces_->Append(text, ids);
    if (end_) ids->push_back(*end_);
  }

  const std::unique_ptr<const SentencePiece> pieces_;
  const std::optional<int32_t> end_;
};

// transformers' tokenization_siglip.py, step by step.
class SiglipTokenizer final : public FromSentencePiece {
 public:
  SiglipTokenizer(std::unique_ptr<const SentencePiece> pieces, int32_t end,
                  absl::string_view file)
      : FromSentencePiece(std::move(pieces), "SiglipTokenizer", end, file,
                          TextCleaning::kNone) {
    std::vector<AddedToken> special;
    for (const char* token : {"</s>", "<unk>"}) {
      const std::optional<int32_t> id = IdOf(token);
      // Both take the white space around them.
      if (id) special.push_back({token, *id, true, true});
    }
    special_ = AddedTokens(std::move(special));
    this->pieces().Append(kUnknown, &unknown_ids_);
  }

 private:
  static constexpr char kUnknown[] = "<unk>";

  void Append(const std::string& text,
              std::vector<int32_t>* ids) const override {
    constexpr char kSpace[] = "\u2581";
    const std::string marked =
        absl::StrCat(kSpace, absl::StrReplaceAll(text, {{kSpace, " "}}));
    for (const TextPart& part : special_.Split(marked)) {
      if (part.token) {
        // A space of ours alone before a special token goes.
        const std::vector<int32_t> space = {IdOf(kSpace).value_or(-1)};
        if (*ids == space) ids->clear();
        ids->push_back(*part.token);
        continue;
      }
      // The unknown piece in front keeps the library from adding or taking
      // away a space there.
      std::vector<int32_t> marked_ids;
      pieces().Append(absl::StrCat(kUnknown, CanonicalizeForSiglip(part.text)),
                      &marked_ids);
      const size_t skip =
          marked_ids.size() >= unknown_ids_.size() ? unknown_ids_.size() : 0;
      ids->insert(ids->end(), marked_ids.begin() + skip, marked_ids.end());
    }
    if (ids->empty() || ids->back() != end()) ids->push_back(*end());
  }

  AddedTokens special_;
  std::vector<int32_t> unknown_ids_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SubwordTokenizer>> ReadTokenizerJson(
    absl::string_view file, TextCleaning cleaning, const JsonUse& use) {
  absl::StatusOr<std::unique_ptr<JsonTokenizer>> tokenizer =
      JsonTokenizer::Parse(file, use);
  if (!tokenizer.ok()) return tokenizer.status();
  static constexpr const char* kSteps[] = {
      "", " T5Tokenizer", " GemmaTokenizer", " Siglip2Tokenizer",
      " XLMRobertaTokenizer"};
  return std::make_unique<FromTokenizerJson>(
      *std::move(tokenizer),
      absl::StrCat("tokenizer.json", kSteps[static_cast<int>(use.steps)],
                   use.around ? absl::StrCat(" around=", use.around->first, "|",
                                             use.around->second)
                              : ""),
      file, cleaning);
}

absl::StatusOr<std::unique_ptr<SubwordTokenizer>> ReadPiecesAsJson(
    absl::string_view file, TextCleaning cleaning, const JsonUse& use,
    int extra_ids) {
  const absl::StatusOr<SentencePieceModel> model = ReadSentencePieceModel(file);
  if (!model.ok()) return model.status();
  if (model->kind != SentencePieceModel::Kind::kUnigram) {
    return absl::InvalidArgumentError(
        "its SentencePiece model is not of the kind unigram");
  }
  return ReadTokenizerJson(JsonOfPieces(*model, use.steps, extra_ids), cleaning,
                           use);
}

absl::StatusOr<std::unique_ptr<SubwordTokenizer>> ReadBertVocabulary(
    absl::string_view file, bool lower_case, TextCleaning cleaning) {
  absl::StatusOr<std::unique_ptr<JsonTokenizer>> tokenizer =
      JsonTokenizer::ForBert(file, lower_case);
  if (!tokenizer.ok()) return tokenizer.status();
  return std::make_unique<FromTokenizerJson>(*std::move(tokenizer),
                                             lower_case ? "BERT lower" : "BERT",
                                             file, cleaning);
}

absl::StatusOr<std::unique_ptr<SubwordTokenizer>> ReadSentencePiece(
    absl::string_view file, SentencePieceUse use, TextCleaning cleaning) {
  const absl::StatusOr<SentencePieceModel> model = ReadSentencePieceModel(file);
  if (!model.ok()) return model.status();
  absl::StatusOr<std::unique_ptr<SentencePiece>> pieces =
      SentencePiece::Create(*model);
  if (!pieces.ok()) return pieces.status();
  if (use == SentencePieceUse::kPlain) {
    return std::make_unique<FromSentencePiece>(
        *std::move(pieces), "SentencePiece", std::nullopt, file, cleaning);
  }
  std::optional<int32_t> end = (*pieces)->IdOf("</s>");
  if (!end) end = (*pieces)->IdOf("<eos>");
  if (!end) {
    return absl::InvalidArgumentError(
        "its SentencePiece model has no piece '</s>' or '<eos>' to end a text");
  }
  if (use == SentencePieceUse::kSiglip)
    return std::make_unique<SiglipTokenizer>(*std::move(pieces), *end, file);
  return std::make_unique<FromSentencePiece>(
      *std::move(pieces), "SentencePiece end", end, file, cleaning);
}

}  // namespace clip
