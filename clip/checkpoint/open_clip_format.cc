// open_clip folders: open_clip_config.json beside the weights.
// Keys and defaults: open_clip's model.py (CLIPVisionCfg, CLIPTextCfg) and
// transform.py (PreprocessCfg). Most keys change the maths, therefore a key
// that is not known here is an error.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "clip/checkpoint/bert_text.h"
#include "clip/checkpoint/config_reader.h"
#include "clip/checkpoint/formats.h"
#include "clip/checkpoint/timm_vits.h"
#include "clip/clip_tokenizer.h"

namespace clip {
namespace {

using nlohmann::json;

// What the file says beside the architecture.
struct Config {
  Architecture architecture;
  std::optional<TimmConfig> timm;      // the image tower is one of timm's
  std::optional<BertTextConfig> bert;  // the text tower is one of BERT's kind
  // The folder's tokenizer, and what is done to texts before it.
  bool own_tokenizer = false;
  TokenizerClass tokenizer;
  TextCleaning cleaning = TextCleaning::kNone;
  // CoCa, which also has a decoder that writes captions: not used.
  bool has_decoder = false;
};

// What both towers have in common: where their only supported value is the
// default, that is expected.
void ReadBlocks(ConfigReader* config, TransformerShape* shape) {
  ConfigReader act = config->Section("act_kwargs");
  if (!act.Raw("approximate").is_null()) {
    if (act.Text("approximate", "none") == "tanh" &&
        shape->activation == Activation::kGelu) {
      shape->activation = Activation::kTanhGelu;
    } else {
      act.Expect("approximate", "none");
    }
  }
  act.NoOthers();
  ConfigReader norm = config->Section("norm_kwargs");
  shape->norm_epsilon = norm.Number("eps", shape->norm_epsilon);
  norm.NoOthers();
  for (const char* key : {"ls_init_value", "block_type"})
    config->Expect(key, nullptr);
  for (const char* key : {"qk_norm", "scaled_cosine_attn", "scale_heads",
                          "scale_attn_inner", "scale_attn", "scale_fc"}) {
    config->Expect(key, false);
  }
  config->Bool("output_tokens", false);  // beside the embedding
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
  config->Expect("pos_embed_type", "learnable");
  vit.norm_before = !config->Bool("no_ln_pre", false);
  const bool queries = config->Raw("attentional_pool") == true;
  if (!queries) config->Expect("attentional_pool", false);
  const int pool_queries = config->Int("attn_pooler_queries", 256),
            pool_heads = config->Int("attn_pooler_heads", 8);
  if (queries) {
    vit.pool = VitPool::kQueries;
    vit.pool_queries = pool_queries;
    vit.pool_heads = pool_heads;
    config->Expect("pool_type", "tok");
    config->Bool("final_ln_after_pool", false);
  } else if (config->Text("pool_type", "tok") == "avg") {
    vit.pool = VitPool::kMean;
    config->Expect("final_ln_after_pool", true);
  } else {
    config->Expect("pool_type", "tok");
    // Of one token it does not matter when.
    config->Bool("final_ln_after_pool", false);
  }
  ReadBlocks(config, &vit.transformer);
  config->NoOthers();
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

// The image tower of timm, whose sizes are read from its tensors.
TimmConfig ReadTimm(ConfigReader* config) {
  TimmConfig timm;
  timm.name = config->Text("timm_model_name", "");
  timm.pool = config->Text("timm_pool", "avg");
  // Null is the trunk's own head; a key that is absent is not.
  timm.projection =
      config->Has("timm_proj") ? config->Text("timm_proj", "") : "linear";
  timm.projection_bias = config->Bool("timm_proj_bias", false);
  for (const char* key : {"timm_model_pretrained", "timm_drop",
                          "timm_drop_path", "patch_dropout"}) {
    config->Raw(key);
  }
  config->NoOthers();
  return timm;
}

TextPool ReadTextPool(ConfigReader* config) {
  const std::string pool = config->Text("pool_type", "argmax");
  if (pool == "first") return TextPool::kFirst;
  if (pool == "last") return TextPool::kLast;
  if (pool == "eos") return TextPool::kEnd;
  config->Expect("pool_type", "argmax");
  return TextPool::kHighest;
}

void ReadTokenizer(ConfigReader* config, Config* all) {
  all->tokenizer.origin = config->Text("hf_tokenizer_name", "");
  all->own_tokenizer = !all->tokenizer.origin.empty();
  ConfigReader options = config->Section("tokenizer_kwargs");
  if (!all->own_tokenizer) {
    options.NoOthers();
    return;
  }
  const std::string clean = options.Text("clean", "whitespace");
  const std::optional<TextCleaning> cleaning = TextCleaningNamed(clean);
  if (!cleaning) options.Expect("clean", "canonicalize");
  all->cleaning = cleaning.value_or(TextCleaning::kNone);
  all->tokenizer.strip_sep = options.Bool("strip_sep_token", false);
  options.NoOthers();
  config->Expect("tokenizer_mode", nullptr);
}

// A text tower of Hugging Face, whose sizes are read from its tensors.
BertTextConfig ReadBertText(ConfigReader* config, Architecture* all) {
  BertTextConfig bert;
  bert.name = config->Text("hf_model_name", "");
  // A key that is absent is not one that is null.
  const auto first_of = [&](std::initializer_list<const char*> keys,
                            const std::string& fallback) {
    for (const char* key : keys) {
      if (config->Has(key)) return config->Text(key, "");
    }
    return fallback;
  };
  // The latter are those of older folders.
  bert.pooler = first_of({"hf_pooler_type", "pooler_type"}, "mean_pooler");
  bert.projection = first_of({"hf_proj_type", "proj_type", "proj"}, "mlp");
  all->context_length = config->Int("context_length", 77);
  config->Bool("output_tokens", false);  // beside the embedding
  // Of open_clip's own text tower.
  config->NoOthers({"hf_model_pretrained", "vocab_size", "width", "heads",
                    "layers", "mlp_ratio"});
  return bert;
}

// `own_tower`: as custom_text has it.
void ReadText(ConfigReader* config, Activation activation, bool own_tower,
              Architecture* all) {
  const int width = config->Int("width", 512);
  all->context_length = config->Int("context_length", 77);
  all->vocab_size = config->Int("vocab_size", ClipTokenizer::kVocabSize);
  all->text = {.width = width,
               .layers = config->Int("layers", 12),
               .heads = config->Int("heads", 8),
               .mlp_width = MlpWidth(width, config),
               .activation = activation};
  if (config->Bool("no_causal_mask", false)) all->text_mask = TextMask::kNone;
  config->Expect("use_pad_mask", false);
  all->text_pool = ReadTextPool(config);
  if (config->Bool("embed_cls", false)) {
    // Whatever pool_type says. Only in towers of their own are there class
    // tokens; with CLIP's tokenizer they are exact.
    all->text_pool = TextPool::kClass;
    if (!own_tower) config->Expect("embed_cls", false);
    config->Expect("pad_id", 0);
    for (const char* key : {"hf_tokenizer_name", "no_causal_mask"})
      config->Refuse(key, "is not supported together with 'embed_cls'");
  }
  all->end_token = config->Int("eos_id", 2);
  // Padding, which a causal tower has none of, could be pooled.
  if (all->text_mask == TextMask::kCausal && all->text_pool != TextPool::kEnd &&
      all->text_pool != TextPool::kClass)
    config->Expect("pool_type", "argmax");
  all->text_projection.bias = config->Bool("proj_bias", false);
  if (config->Text("proj_type", "linear") == "none") {
    all->text_projection = {.used = false};
  } else {
    config->Expect("proj_type", "linear");
  }
  // Read by no line of open_clip's text tower.
  config->Bool("final_ln_after_pool", false);
  ReadBlocks(config, &all->text);
  // pad_id matters to other kinds of pooling only.
  config->NoOthers({"pad_id"});
}

Config ReadConfig(const json& root, absl::Status* status) {
  Config config;
  Architecture& all = config.architecture;
  ConfigReader file(root, "", status);
  ConfigReader model = file.Section("model_cfg");
  all.embedding_dim = model.Int("embed_dim", {});
  const Activation activation = model.Bool("quick_gelu", false)
                                    ? Activation::kQuickGelu
                                    : Activation::kGelu;
  ConfigReader vision = model.Section("vision_cfg");
  ConfigReader text = model.Section("text_cfg");
  // First, because these have keys of their own that say nothing about why.
  const std::string timm_name = vision.Text("timm_model_name", "");
  if (!timm_name.empty() && !IsTimmVit(timm_name)) {
    vision.Refuse("timm_model_name",
                  "is an image tower of timm, which is not supported");
  }
  const bool own_text = text.Text("hf_model_name", "").empty();
  config.has_decoder = !model.Raw("multimodal_cfg").is_null();
  if (!own_text &&
      (config.has_decoder || !IsBertText(text.Text("hf_model_name", "")))) {
    text.Refuse("hf_model_name",
                "is a text tower of Hugging Face, which is not supported");
  }
  all.image_size = vision.Side("image_size", 224);
  if (!timm_name.empty()) {
    config.timm = ReadTimm(&vision);
  } else {
    // Of a model that was made for timm, where this tower ignores it.
    for (const char* key : {"timm_model_pretrained", "timm_pool", "timm_proj",
                            "timm_proj_bias", "timm_drop", "timm_drop_path"}) {
      vision.Raw(key);
    }
    if (vision.Raw("layers").is_array()) {
      all.vision = ReadResNet(&vision);
    } else {
      all.vision = ReadVit(&vision, activation);
    }
  }
  ReadTokenizer(&text, &config);
  const bool own_tower = config.has_decoder || model.Bool("custom_text", false);
  if (own_text) {
    ReadText(&text, activation, own_tower, &all);
  } else {
    config.bert = ReadBertText(&text, &all);
  }
  // As open_clip makes the parameter logit_bias or not; its first value is for
  // training.
  all.logit_bias = !model.Raw("init_logit_bias").is_null();
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
  // "random" is random in training only.
  const std::string interpolation = preprocess.Text("interpolation", "bicubic");
  all.bilinear = interpolation == "bilinear";
  if (!all.bilinear && interpolation != "random")
    preprocess.Expect("interpolation", "bicubic");
  const std::string resize = preprocess.Text("resize_mode", "shortest");
  if (resize == "squash") {
    all.resize = ResizeMode::kSquash;
  } else if (resize == "longest") {
    all.resize = ResizeMode::kLongest;
    const int fill = preprocess.Int("fill_color", 0);
    if (fill < 0 || fill > 255) preprocess.Expect("fill_color", 0);
    all.fill = static_cast<uint8_t>(fill);
  } else {
    preprocess.Expect("resize_mode", "shortest");
  }
  preprocess.NoOthers({"fill_color"});
  return config;
}

}  // namespace

absl::StatusOr<Checkpoint> ReadOpenClip(const CheckpointSource& source) {
  absl::StatusOr<json> config =
      ReadJsonObject(absl::StrCat(source.folder, "/", kOpenClipConfig));
  if (!config.ok()) return config.status();
  Checkpoint checkpoint;
  absl::Status status;
  Config read = ReadConfig(*config, &status);
  // A key of ours, which open_clip does not look at: it goes where the
  // checkpoint goes, whatever its folder is called.
  checkpoint.is_demo = ConfigReader(*config, "", &status)
                           .Section("zeroshot")
                           .Bool("demo", false);
  if (!status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", kOpenClipConfig, "': ", status.message()));
  }
  if (read.bert) {
    status = SetBertText(*read.bert, &read.architecture);
    if (!status.ok()) return status;
    read.own_tokenizer = true;
    if (read.tokenizer.origin.empty()) read.tokenizer.origin = read.bert->name;
  }
  checkpoint.architecture = read.architecture;
  if (read.own_tokenizer) {
    status = ReadTokenizerFiles(source.folder, read.tokenizer, read.cleaning,
                                &checkpoint);
    if (!status.ok()) return status;
  }
  absl::StatusOr<TensorFile> file = source.read_weights();
  if (!file.ok()) return file.status();
  TimmVit timm;
  if (read.timm) {
    absl::StatusOr<TimmVit> vit = ReadTimmVit(*read.timm, file->tensors);
    if (!vit.ok()) return vit.status();
    timm = *std::move(vit);
    checkpoint.architecture.vision = timm.shape;
  }
  if (read.bert) {
    status = ReadBertSizes(file->tensors, &checkpoint.architecture);
    if (!status.ok()) return status;
  }
  if (read.has_decoder) {
    std::erase_if(file->tensors, [](const auto& tensor) {
      return absl::StartsWith(tensor.first, "text_decoder.");
    });
  }
  const auto name = [&](const std::string& required) -> WeightSource {
    const bool visual = absl::StartsWith(required, "visual.");
    if (read.timm && visual) return TimmName(timm, required);
    if (read.bert && !visual)
      return BertName(checkpoint.architecture, required);
    if (required == "class_embedding") return {{"cls_emb"}};
    // With a bias it is a Linear layer, else a matrix.
    if (read.architecture.text_projection.bias) {
      if (required == "text_projection")
        return {{"text_projection.weight"}, /*transposed=*/true};
      if (required == "text_projection_bias") return {{"text_projection.bias"}};
    }
    return SameName(required);
  };
  status = TakeWeights(*std::move(file), name, &checkpoint);
  if (!status.ok()) return status;
  return checkpoint;
}

}  // namespace clip
