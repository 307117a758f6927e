// Hugging Face folders: config.json beside the weights, and files that say the
// preprocessing and the tokenizer. Keys and defaults: transformers'
// configuration_clip.py; tensor names: modeling_clip.py.
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "base/quoted.h"
#include "clip/checkpoint/config_reader.h"
#include "clip/checkpoint/formats.h"
#include "clip/tokenizer.h"

namespace clip {
namespace {

using nlohmann::json;

Activation ReadActivation(ConfigReader* config) {
  if (config->Text("hidden_act", "quick_gelu") == "quick_gelu")
    return Activation::kQuickGelu;
  config->Expect("hidden_act", "gelu");
  return Activation::kGelu;
}

TransformerShape ReadTransformer(ConfigReader* config, int width, int mlp_width,
                                 int heads) {
  return {.width = config->Int("hidden_size", width),
          .layers = config->Int("num_hidden_layers", 12),
          .heads = config->Int("num_attention_heads", heads),
          .mlp_width = config->Int("intermediate_size", mlp_width),
          .activation = ReadActivation(config),
          .norm_epsilon = config->Number("layer_norm_eps", 1e-5)};
}

// Old files have the values that differ from the defaults a second time, under
// "text_config_dict"; transformers lets those win.
json TowerConfig(const json& root, const std::string& key,
                 absl::Status* status) {
  ConfigReader file(root, "", status);
  file.Section(key);  // for its type check
  file.Section(key + "_dict");
  json merged = json::object();
  for (const json& part : {file.Raw(key), file.Raw(key + "_dict")}) {
    if (part.is_object()) merged.update(part);
  }
  return merged;
}

Architecture ReadArchitecture(const json& root, absl::Status* status) {
  Architecture all;
  ConfigReader file(root, "", status);
  const std::string type = file.Text("model_type", "");
  if (absl::StartsWith(type, "siglip"))
    file.Refuse("model_type", "is a SigLIP, which is not supported");
  if (type != "clip") file.Expect("model_type", "clip");
  file.Refuse("quantization_config",
              "says that the weights are quantized: not supported");
  all.embedding_dim = file.Int("projection_dim", 512);

  ConfigReader vision(TowerConfig(root, "vision_config", status),
                      "vision_config.", status);
  vision.Expect("num_channels", 3);
  all.image_size = vision.Side("image_size", 224);
  VitShape vit;
  vit.patch = vision.Side("patch_size", 32);
  vit.transformer = ReadTransformer(&vision, 768, 3072, 12);
  all.vision = vit;

  ConfigReader text(TowerConfig(root, "text_config", status), "text_config.",
                    status);
  all.context_length = text.Int("max_position_embeddings", 77);
  all.vocab_size = text.Int("vocab_size", Tokenizer::kVocabSize);
  // 2 is what old files say; transformers then looks for the highest id.
  constexpr int kOldEnd = 2;
  if (text.Int("eos_token_id", Tokenizer::kEndOfText) != kOldEnd)
    text.Expect("eos_token_id", Tokenizer::kEndOfText);
  all.text = ReadTransformer(&text, 512, 2048, 8);
  return all;
}

}  // namespace

// transformers names the layers' tensors in its own way and keeps query, key
// and value apart; its projections are Linear layers, ours plain matrices.
WeightSource HuggingFaceName(const std::string& required) {
  static const auto* const kWhole = new std::map<std::string, WeightSource>{
      {"logit_scale", {{"logit_scale"}}},
      {"token_embedding.weight",
       {{"text_model.embeddings.token_embedding.weight"}}},
      {"positional_embedding",
       {{"text_model.embeddings.position_embedding.weight"}}},
      {"text_projection", {{"text_projection.weight"}, true}},
      {"visual.class_embedding", {{"vision_model.embeddings.class_embedding"}}},
      {"visual.positional_embedding",
       {{"vision_model.embeddings.position_embedding.weight"}}},
      {"visual.conv1.weight",
       {{"vision_model.embeddings.patch_embedding.weight"}}},
      {"visual.proj", {{"visual_projection.weight"}, true}},
  };
  if (const auto found = kWhole->find(required); found != kWhole->end())
    return found->second;

  absl::string_view rest = required;
  const std::string tower =
      absl::ConsumePrefix(&rest, "visual.") ? "vision_model." : "text_model.";
  const std::string name = absl::StrCat(
      tower,
      absl::StrReplaceAll(rest, {{"transformer.resblocks.", "encoder.layers."},
                                 {"ln_1.", "layer_norm1."},
                                 {"ln_2.", "layer_norm2."},
                                 {"ln_pre.", "pre_layrnorm."},
                                 {"ln_post.", "post_layernorm."},
                                 {"ln_final.", "final_layer_norm."},
                                 {"attn.out_proj.", "self_attn.out_proj."},
                                 {"mlp.c_fc.", "mlp.fc1."},
                                 {"mlp.c_proj.", "mlp.fc2."}}));
  const size_t joined = name.find("attn.in_proj_");
  if (joined == std::string::npos) return {{name}};
  const std::string layer = name.substr(0, joined);
  const std::string kind =
      name.substr(joined + absl::string_view("attn.in_proj_").size());
  return {{absl::StrCat(layer, "self_attn.q_proj.", kind),
           absl::StrCat(layer, "self_attn.k_proj.", kind),
           absl::StrCat(layer, "self_attn.v_proj.", kind)}};
}

absl::StatusOr<Checkpoint> ReadHuggingFace(const CheckpointSource& source) {
  const absl::StatusOr<json> config =
      ReadJsonObject(absl::StrCat(source.folder, "/", kHuggingFaceConfig));
  if (!config.ok()) return config.status();
  Checkpoint checkpoint;
  absl::Status status;
  checkpoint.architecture = ReadArchitecture(*config, &status);
  if (!status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", kHuggingFaceConfig, "': ", status.message()));
  }
  status = ReadPreprocessingFiles(source.folder, &checkpoint.architecture);
  if (!status.ok()) return status;
  status = CheckTokenizerFiles(source.folder);
  if (!status.ok()) return status;
  absl::StatusOr<TensorFile> file = source.read_weights();
  if (!file.ok()) return file.status();
  status = TakeWeights(*std::move(file), HuggingFaceName, &checkpoint);
  if (!status.ok()) return status;
  return checkpoint;
}

}  // namespace clip
