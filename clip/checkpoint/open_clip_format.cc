// open_clip folders: open_clip_config.json beside the weights.
// Keys and defaults: open_clip's model.py (CLIPVisionCfg, CLIPTextCfg) and
// transform.py (PreprocessCfg). Most keys change the maths, therefore a key
// that is not known here is an error.
#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "clip/checkpoint/config_reader.h"
#include "clip/checkpoint/formats.h"
#include "clip/tokenizer.h"

namespace clip {
namespace {

using nlohmann::json;

// Keys of both towers whose only supported value is the default.
void ExpectPlainBlocks(ConfigReader* config) {
  for (const char* key :
       {"ls_init_value", "act_kwargs", "norm_kwargs", "block_type"}) {
    config->Expect(key, nullptr);
  }
  for (const char* key :
       {"qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner",
        "scale_attn", "scale_fc", "final_ln_after_pool", "output_tokens"}) {
    config->Expect(key, false);
  }
}

int MlpWidth(int width, ConfigReader* config) {
  const double mlp_width = width * config->Number("mlp_ratio", 4.0);
  // Out of range becomes 0, which CheckArchitecture refuses.
  return mlp_width >= 1 && mlp_width < 1e9 ? static_cast<int>(mlp_width) : 0;
}

VitShape ReadVit(ConfigReader* config, Activation activation) {
  VitShape vit;
  const int width = config->Int("width", 768);
  const int head_width = std::max(1, config->Int("head_width", 64));
  vit.patch = config->Side("patch_size", 16);
  vit.transformer = {.width = width,
                     .layers = config->Int("layers", 12),
                     .heads = width / head_width,
                     .mlp_width = MlpWidth(width, config),
                     .activation = activation};
  // Only used in training.
  config->Number("patch_dropout", 0);
  config->Expect("attentional_pool", false);
  config->Expect("no_ln_pre", false);
  config->Expect("pos_embed_type", "learnable");
  config->Expect("pool_type", "tok");
  ExpectPlainBlocks(config);
  config->NoOthers({"attn_pooler_queries", "attn_pooler_heads"});
  return vit;
}

ResNetShape ReadResNet(ConfigReader* config) {
  ResNetShape resnet;
  resnet.width = config->Int("width", 64);
  const int head_width = std::max(1, config->Int("head_width", 64));
  resnet.heads = static_cast<int>(int64_t{resnet.width} * 32 / head_width);
  const std::vector<int> blocks =
      config->Integers("layers", resnet.blocks.size());
  std::copy(blocks.begin(), blocks.end(), resnet.blocks.begin());
  config->Expect("patch_size", nullptr);
  config->NoOthers({"mlp_ratio"});
  return resnet;
}

void ReadText(ConfigReader* config, Activation activation, Architecture* all) {
  const int width = config->Int("width", 512);
  all->context_length = config->Int("context_length", 77);
  all->vocab_size = config->Int("vocab_size", Tokenizer::kVocabSize);
  all->text = {.width = width,
               .layers = config->Int("layers", 12),
               .heads = config->Int("heads", 8),
               .mlp_width = MlpWidth(width, config),
               .activation = activation};
  all->causal_text = !config->Bool("no_causal_mask", false);
  config->Expect("embed_cls", false);
  config->Expect("pool_type", "argmax");
  config->Expect("proj_bias", false);
  config->Expect("proj_type", "linear");
  ExpectPlainBlocks(config);
  // pad_id and eos_id matter to other kinds of pooling only.
  config->NoOthers({"pad_id", "eos_id"});
}

Architecture ReadArchitecture(const json& root, absl::Status* status) {
  Architecture all;
  ConfigReader file(root, "", status);
  ConfigReader model = file.Section("model_cfg");
  all.embedding_dim = model.Int("embed_dim", {});
  const Activation activation = model.Bool("quick_gelu", false)
                                    ? Activation::kQuickGelu
                                    : Activation::kGelu;
  ConfigReader vision = model.Section("vision_cfg");
  ConfigReader text = model.Section("text_cfg");
  // First, because these have keys of their own that say nothing about why.
  vision.Refuse("timm_model_name",
                "is an image tower of timm, which is not supported");
  text.Refuse("hf_model_name",
              "is a text tower of Hugging Face, which is not supported");
  text.Refuse("hf_tokenizer_name",
              "is another tokenizer than CLIP's, which is not supported");
  text.Refuse("tokenizer_kwargs", "changes the tokenizer: not supported");
  model.Refuse("multimodal_cfg", "is of a CoCa model, which is not supported");
  // Of a model that was made for timm, where this tower ignores it.
  for (const char* key : {"timm_model_pretrained", "timm_pool", "timm_proj",
                          "timm_proj_bias", "timm_drop", "timm_drop_path"}) {
    vision.Raw(key);
  }
  all.image_size = vision.Side("image_size", 224);
  if (vision.Raw("layers").is_array()) {
    all.vision = ReadResNet(&vision);
  } else {
    all.vision = ReadVit(&vision, activation);
  }
  ReadText(&text, activation, &all);
  // Says how tensors are named and shaped, which the tensors do themselves;
  // the checkpoint has its own logit scale.
  model.NoOthers({"custom_text", "nonscalar_logit_scale", "init_logit_scale",
                  "output_dict", "cast_dtype"});

  ConfigReader preprocess = file.Section("preprocess_cfg");
  all.mean = preprocess.Triple("mean", all.mean);
  all.std = preprocess.Triple("std", all.std);
  if (preprocess.Side("size", all.image_size) != all.image_size)
    preprocess.Expect("size", all.image_size);
  preprocess.Expect("mode", "RGB");
  preprocess.Expect("interpolation", "bicubic");
  all.squash = preprocess.Text("resize_mode", "shortest") == "squash";
  if (!all.squash) preprocess.Expect("resize_mode", "shortest");
  preprocess.NoOthers({"fill_color"});
  return all;
}

}  // namespace

absl::StatusOr<Checkpoint> ReadOpenClip(const CheckpointSource& source) {
  absl::StatusOr<json> config =
      ReadJsonObject(absl::StrCat(source.folder, "/", kOpenClipConfig));
  if (!config.ok()) return config.status();
  Checkpoint checkpoint;
  absl::Status status;
  checkpoint.architecture = ReadArchitecture(*config, &status);
  // A key of ours, which open_clip does not look at: it goes where the
  // checkpoint goes, whatever its folder is called.
  checkpoint.is_demo = ConfigReader(*config, "", &status)
                           .Section("zeroshot")
                           .Bool("demo", false);
  if (!status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", kOpenClipConfig, "': ", status.message()));
  }
  absl::StatusOr<TensorFile> file = source.read_weights();
  if (!file.ok()) return file.status();
  status = TakeWeights(*std::move(file), SameName, &checkpoint);
  if (!status.ok()) return status;
  return checkpoint;
}

}  // namespace clip
