// Hugging Face folders: config.json beside the weights, and files that say the
// preprocessing and the tokenizer. Keys and defaults: transformers'
// configuration_clip.py, configuration_metaclip_2.py and
// configuration_siglip.py; tensor names: modeling_clip.py, whose MetaCLIP 2's
// are too, and modeling_siglip.py.
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "base/quoted.h"
#include "clip/checkpoint/config_reader.h"
#include "clip/checkpoint/formats.h"
#include "clip/clip_tokenizer.h"

namespace clip {
namespace {

using nlohmann::json;

constexpr char kSiglipType[] = "siglip", kSiglip2Type[] = "siglip2",
               kMetaClip2Type[] = "metaclip_2";

Activation ReadActivation(ConfigReader* config, const std::string& fallback) {
  const std::string name = config->Text("hidden_act", fallback);
  if (name == "quick_gelu") return Activation::kQuickGelu;
  if (name == "gelu_pytorch_tanh") return Activation::kTanhGelu;
  config->Expect("hidden_act", "gelu");
  return Activation::kGelu;
}

// What a family's classes have where a file is silent.
struct Defaults {
  int width, mlp_width, heads;
  const char* activation;
  double norm_epsilon;
};
constexpr Defaults kClipVision = {768, 3072, 12, "quick_gelu", 1e-5},
                   kClipText = {512, 2048, 8, "quick_gelu", 1e-5},
                   kSiglip = {768, 3072, 12, "gelu_pytorch_tanh", 1e-6};

TransformerShape ReadTransformer(ConfigReader* config,
                                 const Defaults& defaults) {
  return {
      .width = config->Int("hidden_size", defaults.width),
      .layers = config->Int("num_hidden_layers", 12),
      .heads = config->Int("num_attention_heads", defaults.heads),
      .mlp_width = config->Int("intermediate_size", defaults.mlp_width),
      .activation = ReadActivation(config, defaults.activation),
      .norm_epsilon = config->Number("layer_norm_eps", defaults.norm_epsilon)};
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

// configuration_siglip.py, and what modeling_siglip.py and
// image_processing_siglip.py do; `any_grid`: the same of siglip2, which is
// NaFlex there.
Architecture ReadSiglip(const json& root, bool any_grid, absl::Status* status) {
  Architecture all;
  ConfigReader vision(TowerConfig(root, "vision_config", status),
                      "vision_config.", status);
  vision.Expect("num_channels", 3);
  vision.Expect("vision_use_head", true);
  VitShape vit;
  vit.patch = vision.Side("patch_size", 16);
  vit.any_grid = any_grid;
  if (any_grid) {
    // The grid that the positions are kept for.
    const int patches = vision.Int("num_patches", 256);
    const int grid = static_cast<int>(std::lround(std::sqrt(patches)));
    if (grid < 1 || grid > 1000 || grid * grid != patches || vit.patch > 1000)
      vision.Expect("num_patches", 256);
    all.image_size = grid * vit.patch;
    all.resize = ResizeMode::kPatches;
    all.most_patches = 256;
    all.bilinear = true;
  } else {
    all.image_size = vision.Side("image_size", 224);
    all.resize = ResizeMode::kSquash;
  }
  vit.transformer = ReadTransformer(&vision, kSiglip);
  vit.class_token = false;
  vit.patch_bias = true;
  vit.norm_before = false;
  vit.pool = VitPool::kAttention;
  vit.pool_heads = vit.transformer.heads;
  vit.pool_mlp_width = vit.transformer.mlp_width;
  vit.pool_activation = vit.transformer.activation;
  vit.projection.used = false;
  all.vision = vit;

  ConfigReader text(TowerConfig(root, "text_config", status), "text_config.",
                    status);
  all.context_length = text.Int("max_position_embeddings", 64);
  all.vocab_size = text.Int("vocab_size", 32000);
  all.text = ReadTransformer(&text, kSiglip);
  all.embedding_dim = text.Int("projection_size", all.text.width);
  all.text_mask = TextMask::kNone;
  all.text_pool = TextPool::kLast;
  all.text_projection.bias = true;
  all.logit_bias = true;
  all.mean = all.std = {0.5f, 0.5f, 0.5f};
  return all;
}

Architecture ReadArchitecture(const json& root, absl::Status* status) {
  Architecture all;
  ConfigReader file(root, "", status);
  const std::string type = file.Text("model_type", "");
  file.Refuse("quantization_config",
              "says that the weights are quantized: not supported");
  if (type == kSiglipType || type == kSiglip2Type)
    return ReadSiglip(root, type == kSiglip2Type, status);
  const bool metaclip2 = type == kMetaClip2Type;
  if (!metaclip2 && type != "clip") file.Expect("model_type", "clip");
  all.embedding_dim = file.Int("projection_dim", 512);

  ConfigReader vision(TowerConfig(root, "vision_config", status),
                      "vision_config.", status);
  vision.Expect("num_channels", 3);
  all.image_size = vision.Side("image_size", 224);
  VitShape vit;
  vit.patch = vision.Side("patch_size", 32);
  vit.transformer = ReadTransformer(&vision, kClipVision);
  all.vision = vit;

  ConfigReader text(TowerConfig(root, "text_config", status), "text_config.",
                    status);
  all.context_length = text.Int("max_position_embeddings", 77);
  all.vocab_size = text.Int("vocab_size", ClipTokenizer::kVocabSize);
  const int end = text.Int("eos_token_id", ClipTokenizer::kEndOfText);
  constexpr int kOldEnd = 2;
  if (metaclip2) {
    all.text_pool = TextPool::kEnd;
    all.end_token = end;
  } else if (end != kOldEnd) {
    // 2 is what old files say; transformers then looks for the highest id.
    text.Expect("eos_token_id", ClipTokenizer::kEndOfText);
  }
  all.text = ReadTransformer(&text, kClipText);
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

namespace {

// What SiglipModel has and CLIPModel has not, or calls otherwise.
WeightSource SiglipName(const std::string& required) {
  static const auto* const kWhole = new std::map<std::string, WeightSource>{
      {"logit_bias", {{"logit_bias"}}},
      {"text_projection", {{"text_model.head.weight"}, true}},
      {"text_projection_bias", {{"text_model.head.bias"}}},
      {"visual.conv1.bias", {{"vision_model.embeddings.patch_embedding.bias"}}},
  };
  if (const auto found = kWhole->find(required); found != kWhole->end())
    return found->second;
  absl::string_view rest = required;
  if (!absl::ConsumePrefix(&rest, "visual.attn_pool."))
    return HuggingFaceName(required);
  return {
      {absl::StrCat("vision_model.head.",
                    absl::StrReplaceAll(rest, {{"attn.", "attention."},
                                               {"mlp.c_fc.", "mlp.fc1."},
                                               {"mlp.c_proj.", "mlp.fc2."}}))}};
}

// What transformers takes for a model_type: its image processors'
// "...ImageProcessor", and its tokenizer by tokenization_auto.py, for which ""
// is CLIP's own.
struct Family {
  std::string model_type;
  std::string processor;
  TokenizerClass tokenizer;
  WeightSource (*naming)(const std::string&);
};

const Family& FamilyOf(const json& model_type) {
  static const auto* const kFamilies = new std::vector<Family>{
      {"clip", "CLIP", {}, HuggingFaceName},
      {kMetaClip2Type, "CLIP", {"XLMRobertaTokenizer"}, HuggingFaceName},
      {kSiglipType, "Siglip", {"SiglipTokenizer"}, SiglipName},
      // Whatever tokenizer_config.json says.
      {kSiglip2Type, "Siglip2", {"Siglip2Tokenizer", true}, SiglipName},
  };
  for (const Family& family : *kFamilies) {
    if (model_type == family.model_type) return family;
  }
  return kFamilies->front();
}

}  // namespace

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
  const Family& family = FamilyOf(config->value("model_type", json()));
  status = ReadPreprocessingFiles(source.folder, family.processor,
                                  &checkpoint.architecture);
  if (!status.ok()) return status;
  status = family.tokenizer.name.empty()
               ? CheckTokenizerFiles(source.folder)
               : ReadTokenizerFiles(source.folder, family.tokenizer,
                                    TextCleaning::kNone, &checkpoint);
  if (!status.ok()) return status;
  absl::StatusOr<TensorFile> file = source.read_weights();
  if (!file.ok()) return file.status();
  status = TakeWeights(*std::move(file), family.naming, &checkpoint);
  if (!status.ok()) return status;
  return checkpoint;
}

}  // namespace clip
