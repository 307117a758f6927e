#include "clip/checkpoint/timm_vits.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "base/quoted.h"
#include "clip/checkpoint/shape_reader.h"

namespace clip {
namespace {

// What shapes do not tell. timm's vision_transformer.py has each name's
// function.
struct NamedVit {
  absl::string_view start;  // of the name
  int head_width;
  Activation activation = Activation::kGelu;
  double norm_epsilon = 1e-6;
  VitShape::Rotary rotary = {};
  int pool_heads = 0;     // 0: as many as the blocks have
  const char* pool = "";  // of timm's own model, where we know it
};

constexpr Activation kErf = Activation::kGelu, kTanh = Activation::kTanhGelu;
// Offsets are for the class token, which PE-Core-bigG has not.
constexpr VitShape::Rotary kPeCore = {true, /*columns_first=*/true, 1, 0},
                           kPeCoreBigG = {true, /*columns_first=*/true, 0, 0},
                           kEva02 = {true, /*columns_first=*/false, 0, 16};

// The first that fits counts.
constexpr NamedVit kVits[] = {
    {"vit_base_patch32_siglip_256", 64, kTanh},
    {"vit_base_patch16_siglip_", 64},
    {"vit_large_patch16_siglip_512", 64, kTanh},
    {"vit_large_patch16_siglip_", 64},
    {"vit_so400m_patch14_siglip_", 72},
    {"vit_so400m_patch16_siglip_", 72, kTanh},
    {"vit_giantopt_patch16_siglip_", 96, kTanh},
    {"vit_pe_core_gigantic_patch14_448", 96, kErf, 1e-5, kPeCoreBigG, 8},
    {"vit_pe_core_", 64, kErf, 1e-5, kPeCore, 8},
    {"eva_giant_patch14_224", 88},
    {"eva02_base_patch16_clip_224", 64, kErf, 1e-6, kEva02},
    {"eva02_large_patch14_clip_", 64, kErf, 1e-6, kEva02},
    {"vit_base_mci_224", 64},  // MobileCLIP-B
    {"vit_large_patch14_clip_224", 64, kErf, 1e-5},
    {"vit_base_patch16_224", 64, kErf, 1e-6, {}, 0, "token"},  // BiomedCLIP
};

const NamedVit* Find(absl::string_view name) {
  for (const NamedVit& vit : kVits) {
    if (absl::StartsWith(name, vit.start)) return &vit;
  }
  return nullptr;
}

constexpr char kTrunk[] = "visual.trunk.";

}  // namespace

bool IsTimmVit(absl::string_view name) { return Find(name) != nullptr; }

absl::StatusOr<TimmVit> ReadTimmVit(const TimmConfig& config,
                                    const TensorMap& tensors) {
  const NamedVit& named = *Find(config.name);
  ShapeReader shapes(tensors);
  const auto has = [&](const char* name) {
    return tensors.contains(absl::StrCat(kTrunk, name));
  };
  const auto size = [&](const char* name, size_t rank, size_t axis) {
    return shapes.Size(absl::StrCat(kTrunk, name), rank, axis);
  };
  TimmVit made;
  VitShape& vit = made.shape;
  vit.stem = has("patch_embed.backbone.0.conv.weight");
  vit.patch = vit.stem ? 16 : size("patch_embed.proj.weight", 4, 3);
  const int width = size("norm.weight", 1, 0);
  vit.transformer = {.width = width,
                     .layers = shapes.Layers(absl::StrCat(kTrunk, "blocks.")),
                     .heads = std::max(1, width / named.head_width),
                     .activation = named.activation,
                     .norm_epsilon = named.norm_epsilon,
                     .gated = has("blocks.0.mlp.fc1_g.weight")};
  vit.transformer.mlp_width =
      size(vit.transformer.gated ? "blocks.0.mlp.fc1_g.weight"
                                 : "blocks.0.mlp.fc1.weight",
           2, 0);
  made.split_qkv = has("blocks.0.attn.q_proj.weight");
  made.key_bias = has("blocks.0.attn.qkv.bias");
  vit.class_token = has("cls_token");
  // Conv stems come from towers whose class token has no position.
  vit.class_position = !vit.stem;
  vit.patch_bias = has("patch_embed.proj.bias");
  vit.norm_before = has("norm_pre.weight");
  vit.rotary = named.rotary;
  // With a projection of its own, a model keeps its trunk's pool.
  const bool keeps_pool = config.pool.empty() && !config.projection.empty() &&
                          config.projection != "none";
  const std::string pool = keeps_pool ? named.pool : config.pool;
  if (pool == "map") {
    vit.pool = VitPool::kAttention;
    vit.pool_heads =
        named.pool_heads > 0 ? named.pool_heads : vit.transformer.heads;
    vit.pool_mlp_width = size("attn_pool.mlp.fc1.weight", 2, 0);
    vit.pool_activation = named.activation;
  } else if (pool != "token") {
    return absl::InvalidArgumentError(absl::StrCat(
        "'model_cfg.vision_cfg.timm_pool' is ", base::Quoted(config.pool),
        ", supported are only \"map\" and \"token\""));
  }
  made.projection = absl::StrCat(kTrunk, "head.");
  if (config.projection == "none") {
    vit.projection.used = false;
  } else if (config.projection.empty()) {
    vit.projection.bias = true;  // of the trunk's head
  } else if (config.projection == "linear") {
    vit.projection.bias = config.projection_bias;
    made.projection = "visual.head.proj.";
  } else if (config.projection == "mlp") {
    vit.projection.hidden = shapes.Size("visual.head.mlp.fc1.weight", 2, 0);
    vit.projection.hidden_bias = true;
    vit.projection.bias = config.projection_bias;
    made.projection = "visual.head.mlp.fc2.";
  } else {
    return absl::InvalidArgumentError(absl::StrCat(
        "'model_cfg.vision_cfg.timm_proj' is ", base::Quoted(config.projection),
        ", supported are only \"linear\", \"mlp\" and \"none\""));
  }
  if (!shapes.status().ok()) return shapes.status();
  return made;
}

namespace {

// Query, key and value of a block below each other: `kind` is "weight" or
// "bias", `attention` ends in "attn.".
WeightSource QueryKeyValue(const TimmVit& vit, const std::string& attention,
                           const std::string& kind) {
  const bool weight = kind == "weight";
  if (vit.split_qkv) {
    const auto part = [&](const char* which) {
      return absl::StrCat(attention, which, "_proj.", kind);
    };
    return {{part("q"), weight ? part("k") : "", part("v")}};
  }
  if (weight || vit.key_bias) return {{attention + "qkv." + kind}};
  return {{attention + "q_bias", "", attention + "v_bias"}};
}

}  // namespace

WeightSource TimmName(const TimmVit& vit, const std::string& required) {
  absl::string_view rest = required;
  absl::ConsumePrefix(&rest, "visual.");
  if (rest == "proj") return {{vit.projection + "weight"}, /*transposed=*/true};
  if (rest == "proj_bias") return {{vit.projection + "bias"}};
  if (rest == "proj_hidden")
    return {{"visual.head.mlp.fc1.weight"}, /*transposed=*/true};
  if (rest == "proj_hidden_bias") return {{"visual.head.mlp.fc1.bias"}};
  if (rest == "class_embedding") return {{absl::StrCat(kTrunk, "cls_token")}};
  if (rest == "positional_embedding")
    return {{absl::StrCat(kTrunk, "pos_embed")}};
  if (absl::ConsumePrefix(&rest, "attn_pool.")) {
    const std::string pool = absl::StrCat(kTrunk, "attn_pool.");
    if (rest == "probe") return {{pool + "latent"}};
    if (absl::ConsumePrefix(&rest, "attn.in_proj_")) {
      // The query, and both others below each other.
      return {{absl::StrCat(pool, "q.", rest), absl::StrCat(pool, "kv.", rest)},
              /*transposed=*/false,
              {1, 2}};
    }
    return {{pool + absl::StrReplaceAll(rest, {{"attn.out_proj.", "proj."},
                                               {"layernorm.", "norm."},
                                               {"mlp.c_fc.", "mlp.fc1."},
                                               {"mlp.c_proj.", "mlp.fc2."}})}};
  }
  const std::string name = absl::StrCat(
      kTrunk, absl::StrReplaceAll(rest, {{"transformer.resblocks.", "blocks."},
                                         {"conv1.", "patch_embed.proj."},
                                         {"stem.", "patch_embed.backbone."},
                                         {"ln_1.", "norm1."},
                                         {"ln_2.", "norm2."},
                                         {"ln_pre.", "norm_pre."},
                                         {"ln_post.", "norm."},
                                         {"attn.out_proj.", "attn.proj."},
                                         {"mlp.c_fc.", "mlp.fc1."},
                                         {"mlp.c_proj.", "mlp.fc2."}}));
  if (vit.shape.transformer.gated && absl::StrContains(name, "mlp.fc1.")) {
    return {{absl::StrReplaceAll(name, {{"fc1.", "fc1_g."}}),
             absl::StrReplaceAll(name, {{"fc1.", "fc1_x."}})}};
  }
  constexpr char kJoined[] = "in_proj_";
  const size_t joined = name.find(kJoined);
  if (joined == std::string::npos) return {{name}};
  return QueryKeyValue(vit, name.substr(0, joined),
                       name.substr(joined + sizeof(kJoined) - 1));
}

}  // namespace clip
