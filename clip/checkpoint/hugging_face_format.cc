// Hugging Face folders: config.json, preprocessor_config.json (optional) and
// model.safetensors, in one file or in shards that model.safetensors.index.json
// lists. Keys and defaults: transformers' configuration_clip.py and
// image_processing_clip.py; tensor names: modeling_clip.py.
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "clip/checkpoint/config_reader.h"
#include "clip/checkpoint/formats.h"
#include "clip/quoted.h"
#include "clip/safetensors.h"

namespace clip {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr char kConfig[] = "config.json";
constexpr char kPreprocessor[] = "preprocessor_config.json";
constexpr char kWeights[] = "model.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";

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
  if (file.Text("model_type", "") != "clip") file.Expect("model_type", "clip");
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
  all.vocab_size = text.Int("vocab_size", 49408);
  all.text = ReadTransformer(&text, 512, 2048, 8);
  return all;
}

// The parts of preprocessing that CropForModel and the towers do in one way
// only must be asked for in that way.
void ReadPreprocessing(const json& root, Architecture* all,
                       absl::Status* status) {
  ConfigReader config(root, "", status);
  for (const char* key :
       {"do_resize", "do_center_crop", "do_rescale", "do_normalize"}) {
    config.Expect(key, true);
  }
  constexpr int kPillowBicubic = 3;
  config.Expect("resample", kPillowBicubic);
  const double scale = config.Number("rescale_factor", 1.0 / 255);
  if (scale < 0.99 / 255 || scale > 1.01 / 255)
    config.Expect("rescale_factor", 1.0 / 255);
  all->mean = config.Triple("image_mean", all->mean);
  all->std = config.Triple("image_std", all->std);
  for (const char* key : {"size", "crop_size"}) {
    if (config.Side(key, all->image_size) != all->image_size)
      config.Expect(key, all->image_size);
  }
  // {"height", "width"} would stretch the image; only the shorter side counts.
  const json size = config.Raw("size");
  if (size.is_object() && !size.contains("shortest_edge")) {
    config.Expect("size", json{{"shortest_edge", all->image_size}});
  }
}

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

// The files that hold the tensors. A shard lies beside its index: a name with a
// folder in it is refused.
absl::StatusOr<std::set<std::string>> WeightFiles(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder / kWeights, error))
    return std::set<std::string>{kWeights};
  if (!fs::exists(folder / kIndex, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the folder has neither '", kWeights, "' nor '", kIndex,
                     "'; weights in pytorch_model.bin alone must be saved "
                     "again with save_pretrained"));
  }
  const absl::StatusOr<json> index = ReadJsonObject(folder / kIndex);
  if (!index.ok()) return index.status();
  std::set<std::string> files;
  const json map = index->value("weight_map", json());
  for (const json& name : map) {
    if (!name.is_string() ||
        name.get<std::string>().find('/') != std::string::npos) {
      files.clear();
      break;
    }
    files.insert(name.get<std::string>());
  }
  if (files.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", kIndex,
        "': 'weight_map' must map tensors to files of the same folder"));
  }
  return files;
}

// The tensors of all files together.
absl::StatusOr<TensorFile> ReadWeightFiles(const fs::path& folder) {
  const absl::StatusOr<std::set<std::string>> names = WeightFiles(folder);
  if (!names.ok()) return names.status();
  TensorFile all;
  for (const std::string& name : *names) {
    absl::StatusOr<TensorFile> file = ReadSafetensors(folder / name);
    if (!file.ok()) return file.status();
    all.tensors.merge(file->tensors);
    if (!file->tensors.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", Quoted(file->tensors.begin()->first),
                       " is in ", Quoted(name), " and in another shard"));
    }
    all.owners.insert(all.owners.end(), file->owners.begin(),
                      file->owners.end());
  }
  return all;
}

}  // namespace

absl::StatusOr<Checkpoint> ReadHuggingFace(const std::string& path) {
  const fs::path folder(path);
  const absl::StatusOr<json> config = ReadJsonObject(folder / kConfig);
  if (!config.ok()) return config.status();
  Checkpoint checkpoint;
  absl::Status status;
  checkpoint.architecture = ReadArchitecture(*config, &status);
  if (!status.ok())
    return absl::InvalidArgumentError(
        absl::StrCat("'", kConfig, "': ", status.message()));

  std::error_code error;
  if (fs::exists(folder / kPreprocessor, error)) {
    const absl::StatusOr<json> preprocessor =
        ReadJsonObject(folder / kPreprocessor);
    if (!preprocessor.ok()) return preprocessor.status();
    ReadPreprocessing(*preprocessor, &checkpoint.architecture, &status);
    if (!status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", kPreprocessor, "': ", status.message()));
    }
  }
  absl::StatusOr<TensorFile> file = ReadWeightFiles(folder);
  if (!file.ok()) return file.status();
  status = TakeWeights(*std::move(file), HuggingFaceName, &checkpoint);
  if (!status.ok()) return status;
  return checkpoint;
}

}  // namespace clip
