#include "clip/checkpoint/bert_text.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "base/quoted.h"
#include "clip/checkpoint/shape_reader.h"

namespace clip {
namespace {

constexpr char kTower[] = "text.transformer.";
constexpr int kHeadWidth = 64;  // of all sizes that were published

// "xlm-roberta-base" of "FacebookAI/xlm-roberta-base".
std::string OwnName(absl::string_view name) {
  while (absl::ConsumeSuffix(&name, "/")) {
  }
  return absl::AsciiStrToLower(name.substr(name.rfind('/') + 1));
}

bool IsRoberta(absl::string_view name) {
  return absl::StrContains(OwnName(name), "roberta");
}

}  // namespace

bool IsBertText(absl::string_view name) {
  const std::string own = OwnName(name);
  // Whose names have BERT's in them and whose towers are others.
  for (const char* other : {"albert", "deberta", "distilbert", "modernbert",
                            "mobilebert", "nomic", "jina", "convbert"}) {
    if (absl::StrContains(own, other)) return false;
  }
  return absl::StrContains(own, "bert");
}

absl::Status SetBertText(const BertTextConfig& config, Architecture* all) {
  const bool roberta = IsRoberta(config.name);
  all->text.activation = Activation::kGelu;
  all->text.norm_epsilon = roberta ? 1e-5 : 1e-12;
  all->text.norm_after = true;
  all->text_mask = TextMask::kPadding;
  all->padding_has_places = !roberta;
  std::string pooler = config.pooler;
  if (pooler.empty()) pooler = roberta ? "mean_pooler" : "cls_pooler";
  if (pooler == "mean_pooler") {
    all->text_pool = TextPool::kMean;
  } else if (pooler == "cls_last_hidden_state_pooler") {
    all->text_pool = TextPool::kFirst;
  } else {
    return absl::InvalidArgumentError(absl::StrCat(
        "'model_cfg.text_cfg.hf_pooler_type' is ", base::Quoted(pooler),
        ", supported are only \"mean_pooler\" and "
        "\"cls_last_hidden_state_pooler\""));
  }
  if (config.projection.empty()) {
    all->text_projection.used = false;
  } else if (config.projection == "mlp") {
    all->text_projection.hidden = 1;  // ReadBertSizes has the size
  } else if (config.projection != "linear") {
    return absl::InvalidArgumentError(
        absl::StrCat("'model_cfg.text_cfg.hf_proj_type' is ",
                     base::Quoted(config.projection),
                     ", supported are only \"mlp\", \"linear\" and null"));
  }
  return absl::OkStatus();
}

absl::Status ReadBertSizes(const TensorMap& tensors, Architecture* all) {
  ShapeReader shapes(tensors);
  const auto size = [&](const char* name, size_t axis) {
    return shapes.Size(absl::StrCat(kTower, name), 2, axis);
  };
  all->vocab_size = size("embeddings.word_embeddings.weight", 0);
  all->text.width = size("embeddings.word_embeddings.weight", 1);
  all->text.layers = shapes.Layers(absl::StrCat(kTower, "encoder.layer."));
  all->text.heads = std::max(1, all->text.width / kHeadWidth);
  all->text.mlp_width = size("encoder.layer.0.intermediate.dense.weight", 0);
  if (all->text_projection.hidden > 0)
    all->text_projection.hidden = shapes.Size("text.proj.0.weight", 2, 0);
  return shapes.status();
}

WeightSource BertName(const Architecture& all, const std::string& required) {
  const auto tower = [](absl::string_view name) {
    return absl::StrCat(kTower, name);
  };
  if (required == "token_embedding.weight")
    return {{tower("embeddings.word_embeddings.weight")}};
  if (required == "positional_embedding") {
    // RoBERTa numbers positions from behind the token that pads.
    return {{tower("embeddings.position_embeddings.weight")},
            /*transposed=*/false,
            /*shares=*/{},
            all.padding_has_places ? 0 : all.pad_token + 1};
  }
  if (required == "token_type_embedding")
    return {{tower("embeddings.token_type_embeddings.weight")},
            /*transposed=*/false,
            /*shares=*/{},
            0};
  if (required == "text_projection_hidden")
    return {{"text.proj.0.weight"}, /*transposed=*/true};
  if (required == "text_projection")
    return {{all.text_projection.hidden > 0 ? "text.proj.2.weight"
                                            : "text.proj.weight"},
            /*transposed=*/true};
  absl::string_view rest = required;
  if (absl::ConsumePrefix(&rest, "ln_pre."))
    return {{tower(absl::StrCat("embeddings.LayerNorm.", rest))}};
  if (!absl::ConsumePrefix(&rest, "transformer.resblocks."))
    return {{required}};
  const std::string name = tower(absl::StrCat(
      "encoder.layer.",
      absl::StrReplaceAll(rest, {{"ln_1.", "attention.output.LayerNorm."},
                                 {"ln_2.", "output.LayerNorm."},
                                 {"attn.out_proj.", "attention.output.dense."},
                                 {"mlp.c_fc.", "intermediate.dense."},
                                 {"mlp.c_proj.", "output.dense."}})));
  constexpr char kJoined[] = "attn.in_proj_";
  const size_t joined = name.find(kJoined);
  if (joined == std::string::npos) return {{name}};
  const std::string attention = name.substr(0, joined),
                    kind = name.substr(joined + sizeof(kJoined) - 1);
  const auto part = [&](const char* which) {
    return absl::StrCat(attention, "attention.self.", which, ".", kind);
  };
  return {{part("query"), part("key"), part("value")}};
}

}  // namespace clip
