#include "clip/text/json_steps.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "clip/text/char_map.h"
#include "clip/text/json_parts.h"
#include "clip/text/normalizers.h"

namespace clip {
namespace {

using nlohmann::json;

// Sequences in sequences, and steps of all of them.
constexpr int kMaxDepth = 16;
constexpr size_t kMaxSteps = 64;

// Reads a part and those in it. The first error sticks, so that the code is a
// plain list.
template <typename Step>
class StepsReader {
 public:
  absl::StatusOr<std::vector<Step>> Result() && {
    if (!status_.ok()) return status_;
    return std::move(steps_);
  }

 protected:
  void Add(Step step) {
    if (steps_.size() == kMaxSteps)
      status_.Update(absl::InvalidArgumentError("it has too many steps"));
    if (status_.ok()) steps_.push_back(std::move(step));
  }

  absl::Status status_;

 private:
  std::vector<Step> steps_;
};

class NormalizersReader : public StepsReader<NormalizerStep> {
 public:
  void Read(const json& part, int depth) {
    if (part.is_null() || !status_.ok()) return;
    const std::string type = Text(part, "type");
    if (type == "Sequence" && depth < kMaxDepth) {
      for (const json& one : Member(part, "normalizers")) Read(one, depth + 1);
    } else if (type == "Precompiled") {
      ReadCharMap(Text(part, "precompiled_charsmap"));
    } else if (type == "Lowercase") {
      Add(LowerEach);
    } else if (type == "Strip") {
      const bool left = Flag(part, "strip_left", true, &status_);
      const bool right = Flag(part, "strip_right", true, &status_);
      Add([=](std::string* text) { StripSpace(left, right, text); });
    } else if (type == "Replace") {
      ReadReplace(part);
    } else if (type == "Prepend") {
      const std::string prefix = Text(part, "prepend");
      Add([=](std::string* text) {
        if (!text->empty()) *text = prefix + *text;
      });
    } else if (type == "StripAccents") {
      Add(StripAccents);
    } else if (type == "BertNormalizer") {
      BertCleaning cleaning;
      cleaning.clean_text = Flag(part, "clean_text", true, &status_);
      cleaning.handle_chinese_chars =
          Flag(part, "handle_chinese_chars", true, &status_);
      cleaning.lowercase = Flag(part, "lowercase", true, &status_);
      cleaning.strip_accents =
          Flag(part, "strip_accents", cleaning.lowercase, &status_);
      Add([cleaning](std::string* text) { CleanForBert(cleaning, text); });
    } else if (const auto form = FormOf(type)) {
      Add([form](std::string* text) { ToNormalForm(*form, text); });
    } else {
      status_.Update(NotSupported("normalizer", part));
    }
  }

 private:
  static std::optional<NormalForm> FormOf(absl::string_view type) {
    if (type == "NFC") return NormalForm::kNfc;
    if (type == "NFD") return NormalForm::kNfd;
    if (type == "NFKC") return NormalForm::kNfkc;
    if (type == "NFKD") return NormalForm::kNfkd;
    return std::nullopt;
  }

  void ReadCharMap(const std::string& base64) {
    std::string bytes;
    if (!absl::Base64Unescape(base64, &bytes)) {
      status_.Update(
          absl::InvalidArgumentError("its precompiled_charsmap is no base64"));
      return;
    }
    absl::StatusOr<CharMap> map = CharMap::Parse(bytes);
    if (!map.ok()) {
      status_.Update(map.status());
      return;
    }
    auto shared = std::make_shared<const CharMap>(*std::move(map));
    Add([shared](std::string* text) { ReplaceByCharMap(*shared, text); });
  }

  void ReadReplace(const json& part) {
    const json& pattern = Member(part, "pattern");
    const std::string text = Text(pattern, "String");
    const std::string content = Text(part, "content");
    if (!text.empty()) {
      Add([=](std::string* s) { ReplaceAll(text, content, s); });
    } else if (Text(pattern, "Regex") == " {2,}") {
      Add([=](std::string* s) { ReplaceRunsOfSpaces(content, s); });
    } else {
      status_.Update(NotSupported("normalizer", part));
    }
  }
};

class PreTokenizersReader : public StepsReader<PreTokenizerStep> {
 public:
  void Read(const json& part, int depth) {
    if (part.is_null() || !status_.ok()) return;
    const std::string type = Text(part, "type");
    if (type == "Sequence" && depth < kMaxDepth) {
      for (const json& one : Member(part, "pretokenizers"))
        Read(one, depth + 1);
    } else if (type == "WhitespaceSplit") {
      Add(SplitAtWhiteSpace);
    } else if (type == "BertPreTokenizer") {
      Add(SplitForBert);
    } else if (type == "Metaspace") {
      ReadMetaspace(part);
    } else if (type == "Split") {
      ReadSplit(part);
    } else {
      status_.Update(NotSupported("pre_tokenizer", part));
    }
  }

 private:
  void ReadMetaspace(const json& part) {
    const std::string replacement = Text(part, "replacement");
    std::string scheme = Text(part, "prepend_scheme");
    if (scheme.empty()) scheme = "always";
    if (!Flag(part, "add_prefix_space", true, &status_)) scheme = "never";
    const bool split = Flag(part, "split", true, &status_);
    const Prepend prepend = scheme == "always"  ? Prepend::kAlways
                            : scheme == "first" ? Prepend::kFirst
                                                : Prepend::kNever;
    if (replacement.empty() ||
        (prepend == Prepend::kNever && scheme != "never")) {
      status_.Update(NotSupported("pre_tokenizer", part));
      return;
    }
    Add([=](Words* words) {
      SplitAtMetaspace(replacement, prepend, split, words);
    });
  }

  void ReadSplit(const json& part) {
    const std::string pattern = Text(Member(part, "pattern"), "String");
    const std::string behavior = Text(part, "behavior");
    static constexpr std::pair<const char*, Delimiter> kBehaviors[] = {
        {"Removed", Delimiter::kRemoved},
        {"Isolated", Delimiter::kIsolated},
        {"MergedWithPrevious", Delimiter::kMergedWithPrevious},
        {"MergedWithNext", Delimiter::kMergedWithNext}};
    const auto found = std::find_if(
        std::begin(kBehaviors), std::end(kBehaviors),
        [&](const auto& known) { return behavior == known.first; });
    if (pattern.empty() || found == std::end(kBehaviors) ||
        Flag(part, "invert", false, &status_)) {
      status_.Update(NotSupported("pre_tokenizer", part));
      return;
    }
    const Delimiter delimiter = found->second;
    Add([=](Words* words) { SplitAt(pattern, delimiter, words); });
  }
};

}  // namespace

absl::StatusOr<std::vector<NormalizerStep>> ReadNormalizers(const json& part) {
  NormalizersReader reader;
  reader.Read(part, 0);
  return std::move(reader).Result();
}

absl::StatusOr<std::vector<PreTokenizerStep>> ReadPreTokenizers(
    const json& part) {
  PreTokenizersReader reader;
  reader.Read(part, 0);
  return std::move(reader).Result();
}

}  // namespace clip
