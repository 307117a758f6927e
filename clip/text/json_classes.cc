#include "clip/text/json_classes.h"

#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "clip/text/json_parts.h"

namespace clip {
namespace {

using nlohmann::json;

constexpr char kSpace[] = "\u2581";

// The first step of that type; null if there is none.
json FirstStep(const json& normalizer, const char* type) {
  json list = Member(normalizer, "normalizers");
  if (!list.is_array()) list = json::array({normalizer});
  for (const json& one : list) {
    if (Text(one, "type") == type) return one;
  }
  return nullptr;
}

// T5's and XLM-R's are alike but for the unknown piece.
void PutUnigram(int unknown, json* root) {
  (*root)["normalizer"] = FirstStep(Member(*root, "normalizer"), "Precompiled");
  (*root)["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "WhitespaceSplit"}},
        {{"type", "Metaspace"}, {"replacement", kSpace}}}}};
  (*root)["model"]["byte_fallback"] = false;
  (*root)["model"]["unk_id"] = unknown;
}

void PutGemma(bool lower, json* root) {
  const json spaces = {
      {"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpace}};
  if (lower) {
    (*root)["normalizer"] = {
        {"type", "Sequence"},
        {"normalizers", json::array({{{"type", "Lowercase"}}, spaces})}};
  } else {
    (*root)["normalizer"] = spaces;
  }
  (*root)["pre_tokenizer"] = {{"type", "Split"},
                              {"pattern", {{"String", " "}}},
                              {"behavior", "MergedWithPrevious"}};
  (*root)["model"]["fuse_unk"] = true;
  (*root)["model"]["byte_fallback"] = true;
}

}  // namespace

void PutSteps(JsonUse::Steps steps, json* root) {
  // What has no model is refused where that is read.
  if (!Member(*root, "model").is_object()) return;
  switch (steps) {
    case JsonUse::Steps::kOfFile:
      return;
    case JsonUse::Steps::kT5:
      return PutUnigram(2, root);
    case JsonUse::Steps::kXlmRoberta:
      return PutUnigram(3, root);
    case JsonUse::Steps::kGemma:
    case JsonUse::Steps::kSiglip2:
      return PutGemma(steps == JsonUse::Steps::kSiglip2, root);
  }
}

std::string JsonOfPieces(const SentencePieceModel& model, JsonUse::Steps steps,
                         int extra_ids) {
  using Type = SentencePieceModel::Type;
  json vocabulary = json::array(), added = json::array();
  const auto add = [&](absl::string_view piece, float score, bool token) {
    if (token) {
      added.push_back({{"id", vocabulary.size()},
                       {"content", std::string(piece)},
                       {"normalized", false}});
    }
    vocabulary.push_back({std::string(piece), score});
  };
  size_t first = 0;
  if (steps == JsonUse::Steps::kXlmRoberta) {
    for (const char* token : {"<s>", "<pad>", "</s>", "<unk>"})
      add(token, 0, true);
    first = 3;  // the model's own <unk>, <s> and </s>
  }
  for (size_t i = first; i < model.pieces.size(); ++i) {
    const SentencePieceModel::Piece& piece = model.pieces[i];
    add(piece.text, piece.score,
        piece.type == Type::kControl || piece.type == Type::kUserDefined ||
            piece.type == Type::kUnknown);
  }
  if (steps == JsonUse::Steps::kXlmRoberta) {
    add("<mask>", 0, true);
  } else {
    for (int i = extra_ids - 1; i >= 0; --i)
      add(absl::StrCat("<extra_id_", i, ">"), 0, true);
  }
  json root = {
      {"added_tokens", std::move(added)},
      {"model", {{"type", "Unigram"}, {"vocab", std::move(vocabulary)}}}};
  if (!model.charsmap.empty()) {
    root["normalizer"] = {
        {"type", "Precompiled"},
        {"precompiled_charsmap", absl::Base64Escape(model.charsmap)}};
  }
  return root.dump(-1, ' ', /*ensure_ascii=*/false,
                   json::error_handler_t::replace);
}

}  // namespace clip
