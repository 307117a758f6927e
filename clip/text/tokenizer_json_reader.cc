// JsonTokenizer::Parse. Names and defaults are those of the tokenizers library
// (tokenizers/src/: each part's Deserialize).
#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/quoted.h"
#include "clip/text/json_classes.h"
#include "clip/text/json_parts.h"
#include "clip/text/json_steps.h"
#include "clip/text/json_tokenizer.h"
#include "clip/text/normalizers.h"
#include "nlohmann/json.hpp"

namespace clip {
namespace {

using nlohmann::json;

// Of what the parser keeps, and of a text's special tokens.
constexpr int kMaxDepth = 16;
constexpr size_t kMaxSteps = 64;

}  // namespace

// Reads the parts. The first error sticks, so that the code is a plain list.
class TokenizerJsonReader {
 public:
  absl::StatusOr<std::unique_ptr<JsonTokenizer>> Read(absl::string_view file,
                                                      const JsonUse& use) {
    json root = ParseFile(file);
    if (status_.ok() && !root.is_object()) Fail("it is not JSON, or no object");
    if (!status_.ok()) return status_;
    PutSteps(use.steps, &root);
    Take(ReadNormalizers(Member(root, "normalizer")), &made_->normalizers_);
    Take(ReadPreTokenizers(Member(root, "pre_tokenizer")),
         &made_->pre_tokenizers_);
    ReadModel(Member(root, "model"));
    if (status_.ok()) ReadAddedTokens(Member(root, "added_tokens"));
    if (status_.ok() && use.around) {
      PutAround(use.around->first, &made_->before_);
      PutAround(use.around->second, &made_->after_);
    } else if (status_.ok() && use.steps == JsonUse::Steps::kXlmRoberta) {
      PutAround("<s>", &made_->before_);
      PutAround("</s>", &made_->after_);
    } else if (status_.ok() && use.steps == JsonUse::Steps::kT5) {
      PutAround("</s>", &made_->after_);
    } else if (status_.ok()) {
      ReadPostProcessor(Member(root, "post_processor"), 0);
    }
    if (!status_.ok()) return status_;
    return std::move(made_);
  }

  absl::StatusOr<std::unique_ptr<JsonTokenizer>> MakeBert(
      absl::string_view lines, bool lower_case) {
    for (absl::string_view line :
         absl::StrSplit(absl::StripSuffix(lines, "\n"), '\n')) {
      if (next_line_ == kMaxVocabulary) break;
      vocabulary_.Add(absl::StripSuffix(line, "\r"), next_line_++);
    }
    const BertCleaning cleaning = {.strip_accents = lower_case,
                                   .lowercase = lower_case};
    made_->normalizers_ = {
        [cleaning](std::string* text) { CleanForBert(cleaning, text); }};
    made_->pre_tokenizers_ = {SplitForBert};
    std::vector<AddedToken> added;
    for (const char* token : {"[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"}) {
      if (const auto id = vocabulary_.Find(token))
        added.push_back({token, *id});
    }
    const auto unknown = vocabulary_.Find("[UNK]");
    const auto start = vocabulary_.Find("[CLS]");
    const auto end = vocabulary_.Find("[SEP]");
    if (!unknown || !start || !end) {
      return absl::InvalidArgumentError(
          "it is no vocabulary of BERT: a line [UNK], [CLS] or [SEP] is "
          "missing");
    }
    WordPieces::Options options;
    options.vocabulary = std::move(vocabulary_);
    options.unknown_id = *unknown;
    made_->vocab_size_ = options.vocabulary.end();
    made_->model_ = std::make_unique<WordPieces>(std::move(options));
    made_->all_added_ = added;
    made_->added_ = AddedTokens(std::move(added));
    made_->before_ = {*start};
    made_->after_ = {*end};
    return std::move(made_);
  }

 private:
  void Fail(std::string what) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(std::move(what));
  }

  void Refuse(absl::string_view part, const json& value) {
    status_.Update(NotSupported(part, value));
  }

  template <typename Steps>
  void Take(absl::StatusOr<Steps> read, Steps* steps) {
    status_.Update(read.status());
    if (read.ok()) *steps = *std::move(read);
  }

  // The id of a token that stands before or behind texts; none if it is empty.
  void PutAround(const std::string& token, std::vector<int32_t>* ids) {
    if (token.empty()) return;
    const std::optional<int32_t> id = made_->IdOf(token);
    if (!id) {
      return Fail(absl::StrCat("the token ", base::Quoted(token),
                               ", which is to begin or end a text, is not in "
                               "the vocabulary"));
    }
    ids->push_back(*id);
  }

  // The whole file but for the model's vocabulary and merges, which are
  // megabytes and go where they are kept as they are read.
  json ParseFile(absl::string_view file) {
    std::string section, key, piece;
    const auto take = [&](int depth, json::parse_event_t event, json& parsed) {
      using Event = json::parse_event_t;
      if (event == Event::key) {
        if (depth == 1) section = parsed.get<std::string>();
        if (depth == 2) key = parsed.get<std::string>();
        if (depth == 3) piece = parsed.get<std::string>();
      }
      const bool in_model = section == "model" && depth >= 3;
      if (in_model && key == "vocab")
        return TakeVocabulary(depth, event, piece, parsed);
      if (in_model && key == "merges") return TakeMerge(depth, event, parsed);
      if (depth <= kMaxDepth) return true;
      if (event == Event::object_start || event == Event::array_start)
        Fail("it is nested too deeply");
      return false;
    };
    return json::parse(file.begin(), file.end(), take,
                       /*allow_exceptions=*/false);
  }

  // Each returns whether the parser is to keep what it has parsed.
  bool TakeVocabulary(int depth, json::parse_event_t event,
                      const std::string& piece, const json& parsed) {
    using Event = json::parse_event_t;
    if (event == Event::array_start || event == Event::object_start ||
        depth > 3) {
      return depth <= 4;  // the two of [piece, score]
    }
    if (event == Event::key) return false;
    if (event == Event::value) {
      const std::optional<int32_t> id = Id(parsed);
      if (!id)
        Fail(absl::StrCat("its token ", base::Quoted(piece),
                          " has no id from 0 to ", kMaxVocabulary - 1));
      if (id) vocabulary_.Add(piece, *id);
      return false;
    }
    if (parsed.is_array() && parsed.size() == 2 && parsed[0].is_string() &&
        parsed[1].is_number() && scores_.size() < kMaxVocabulary) {
      vocabulary_.Add(parsed[0].get<std::string>(),
                      static_cast<int32_t>(scores_.size()));
      scores_.push_back(parsed[1].get<double>());
    } else {
      Fail(
          absl::StrCat("item ", scores_.size(),
                       " of its vocabulary is no pair of a piece and a score"));
    }
    return false;
  }

  bool TakeMerge(int depth, json::parse_event_t event, const json& parsed) {
    using Event = json::parse_event_t;
    if (event == Event::array_start || event == Event::object_start ||
        depth > 3) {
      return depth <= 4;
    }
    std::pair<std::string, std::string> merge;
    if (event == Event::value && parsed.is_string()) {
      // "LEFT RIGHT"
      merge =
          absl::StrSplit(parsed.get<std::string>(), absl::MaxSplits(' ', 1));
    } else if (parsed.is_array() && parsed.size() == 2 &&
               parsed[0].is_string() && parsed[1].is_string()) {
      merge = {parsed[0].get<std::string>(), parsed[1].get<std::string>()};
    }
    if (merge.first.empty() || merge.second.empty())
      Fail(absl::StrCat("merge ", merges_.size(), " is no pair of pieces"));
    merges_.push_back(std::move(merge));
    return false;
  }

  // An id by the spelling of its token; Fail if there is none.
  int32_t IdOf(const char* key, const std::string& token) {
    const std::optional<int32_t> id = vocabulary_.Find(token);
    if (!id)
      Fail(absl::StrCat("its '", key, "' ", base::Quoted(token),
                        " is not in the vocabulary"));
    return id.value_or(0);
  }

  void ReadModel(const json& part) {
    const std::string type = Text(part, "type");
    if (!status_.ok()) return;
    if (vocabulary_.size() == 0) return Fail("its model has no vocabulary");
    // Several pieces of one id have no meaning, and an id that no piece has
    // needs no row.
    if (vocabulary_.end() > kMaxVocabulary)
      return Fail("its vocabulary is too large");
    model_size_ = scores_.empty() ? vocabulary_.size()
                                  : static_cast<int32_t>(scores_.size());
    made_->vocab_size_ = vocabulary_.end();
    if (type == "Unigram") {
      ReadUnigram(part);
    } else if (type == "BPE") {
      ReadBpe(part);
    } else if (type == "WordPiece") {
      ReadWordPiece(part);
    } else {
      Fail(absl::StrCat("its model of type ", base::Quoted(type),
                        " is not supported"));
    }
  }

  void ReadUnigram(const json& part) {
    UnigramSubwords::Options options;
    const std::optional<int32_t> unknown = Id(Member(part, "unk_id"));
    if (scores_.empty() ||
        static_cast<size_t>(vocabulary_.end()) > scores_.size())
      return Fail("its vocabulary is no list of pieces and scores");
    if (!unknown || static_cast<size_t>(*unknown) >= scores_.size())
      return Fail(absl::StrCat("its model has no 'unk_id' from 0 to ",
                               scores_.size() - 1));
    options.unknown_id = *unknown;
    options.byte_fallback = Flag(part, "byte_fallback", false, &status_);
    options.vocabulary = std::move(vocabulary_);
    options.scores = std::move(scores_);
    if (status_.ok())
      made_->model_ = std::make_unique<UnigramSubwords>(std::move(options));
  }

  void ReadBpe(const json& part) {
    MergedSubwords::Options options;
    if (!scores_.empty()) return Fail("its vocabulary has scores and no ids");
    for (const char* key :
         {"continuing_subword_prefix", "end_of_word_suffix", "dropout"}) {
      const json& value = Member(part, key);
      if (!value.is_null() && value != "" && value != 0.0)
        return Refuse(absl::StrCat("model with '", key, "'"), value);
    }
    if (Member(part, "unk_token").is_string())
      options.unknown_id = IdOf("unk_token", Text(part, "unk_token"));
    options.fuse_unknown = Flag(part, "fuse_unk", false, &status_);
    options.byte_fallback = Flag(part, "byte_fallback", false, &status_);
    options.ignore_merges = Flag(part, "ignore_merges", false, &status_);
    options.vocabulary = std::move(vocabulary_);
    options.merges = std::move(merges_);
    if (!status_.ok()) return;
    absl::StatusOr<std::unique_ptr<MergedSubwords>> model =
        MergedSubwords::Create(std::move(options));
    if (!model.ok()) return Fail(std::string(model.status().message()));
    made_->model_ = *std::move(model);
  }

  void ReadWordPiece(const json& part) {
    WordPieces::Options options;
    if (!scores_.empty()) return Fail("its vocabulary has scores and no ids");
    const std::string unknown = Text(part, "unk_token");
    options.unknown_id = IdOf("unk_token", unknown.empty() ? "[UNK]" : unknown);
    if (Member(part, "continuing_subword_prefix").is_string())
      options.continuing_prefix = Text(part, "continuing_subword_prefix");
    const json& most = Member(part, "max_input_chars_per_word");
    if (!most.is_null()) {
      const std::optional<int32_t> number = Id(most);
      if (!number || *number > 1000)
        return Refuse("'max_input_chars_per_word'", most);
      options.max_characters = *number;
    }
    options.vocabulary = std::move(vocabulary_);
    if (status_.ok())
      made_->model_ = std::make_unique<WordPieces>(std::move(options));
  }

  void ReadAddedTokens(const json& list) {
    std::vector<AddedToken> raw, normalized;
    const Vocabulary& vocabulary = made_->model_->vocabulary();
    int32_t next = model_size_;
    if (!list.is_null() && !list.is_array())
      return Fail("its 'added_tokens' are no list");
    for (const json& one : list) {
      AddedToken token;
      token.text = Text(one, "content");
      if (token.text.empty()) continue;
      if (Flag(one, "single_word", false, &status_))
        return Refuse("added token", one);
      token.takes_space_before = Flag(one, "lstrip", false, &status_);
      token.takes_space_after = Flag(one, "rstrip", false, &status_);
      // The library gives ids itself and warns if the file has others.
      const std::optional<int32_t> known = vocabulary.Find(token.text);
      token.id = known ? *known : next;
      if (!known) ++next;
      if (Id(Member(one, "id")) != token.id || token.id >= kMaxVocabulary) {
        return Fail(absl::StrCat("its added token ", Shown(one),
                                 " has another id than ", token.id,
                                 ", which it would get"));
      }
      made_->vocab_size_ = std::max(made_->vocab_size_, token.id + 1);
      made_->all_added_.push_back(token);
      if (!Flag(one, "normalized", true, &status_)) {
        raw.push_back(std::move(token));
      } else {
        for (const auto& normalize : made_->normalizers_)
          normalize(&token.text);
        normalized.push_back(std::move(token));
      }
    }
    made_->added_ = AddedTokens(std::move(raw));
    made_->normalized_added_ = AddedTokens(std::move(normalized));
  }

  void ReadPostProcessor(const json& part, int depth) {
    if (part.is_null() || !status_.ok()) return;
    const std::string type = Text(part, "type");
    if (type == "Sequence" && depth < kMaxDepth) {
      for (const json& one : Member(part, "processors"))
        ReadPostProcessor(one, depth + 1);
    } else if (!made_->before_.empty() || !made_->after_.empty()) {
      Refuse("second post_processor", part);
    } else if (type == "TemplateProcessing") {
      ReadTemplate(part);
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
      // ["[CLS]", 101]
      for (const auto& [key, ids] : {std::pair{"cls", &made_->before_},
                                     std::pair{"sep", &made_->after_}}) {
        const json& pair = Member(part, key);
        const std::optional<int32_t> id =
            pair.is_array() && pair.size() == 2 ? Id(pair[1]) : std::nullopt;
        if (!id) return Refuse("post_processor", part);
        ids->push_back(*id);
      }
      CheckAround(part);
    } else if (type != "ByteLevel") {  // which changes no ids
      Refuse("post_processor", part);
    }
  }

  void ReadTemplate(const json& part) {
    const json& special = Member(part, "special_tokens");
    std::vector<int32_t>* ids = &made_->before_;
    const json& single = Member(part, "single");
    if (!single.is_array()) return Refuse("post_processor", part);
    for (const json& one : single) {
      const json& token = Member(one, "SpecialToken");
      if (token.is_null()) {
        // The text, once.
        if (Text(Member(one, "Sequence"), "id") != "A" || ids == &made_->after_)
          return Refuse("post_processor", part);
        ids = &made_->after_;
        continue;
      }
      const json& list =
          Member(Member(special, Text(token, "id").c_str()), "ids");
      if (!list.is_array() || list.size() > kMaxSteps ||
          ids->size() > kMaxSteps)
        return Refuse("post_processor", part);
      for (const json& id : list)
        ids->push_back(Id(id).value_or(kMaxVocabulary));
    }
    if (ids == &made_->before_) return Refuse("post_processor", part);
    CheckAround(part);
  }

  void CheckAround(const json& part) {
    for (const auto* ids : {&made_->before_, &made_->after_}) {
      for (const int32_t id : *ids) {
        if (id >= made_->vocab_size_) Refuse("post_processor", part);
      }
    }
  }

  absl::Status status_;
  std::unique_ptr<JsonTokenizer> made_{new JsonTokenizer};
  Vocabulary vocabulary_;  // of the model, until it is made
  std::vector<double> scores_;
  std::vector<std::pair<std::string, std::string>> merges_;
  int32_t model_size_ = 0;
  int32_t next_line_ = 0;
};

absl::StatusOr<std::unique_ptr<JsonTokenizer>> JsonTokenizer::Parse(
    absl::string_view file, const JsonUse& use) {
  return TokenizerJsonReader().Read(file, use);
}

absl::StatusOr<std::unique_ptr<JsonTokenizer>> JsonTokenizer::ForBert(
    absl::string_view vocabulary, bool lower_case) {
  return TokenizerJsonReader().MakeBert(vocabulary, lower_case);
}

}  // namespace clip
