#include "clip/checkpoint/architecture.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

namespace clip {
namespace {

// Far above any published model; they keep hostile files from taking memory
// before their tensors are looked at.
constexpr int kMaxWidth = 1 << 16;
constexpr int kMaxLayers = 1000;
constexpr int kMaxImageSize = 1 << 13;
constexpr int kMaxContext = 1 << 14;
constexpr int kMaxPatches = 1 << 14;
constexpr int kMaxVocab = 1 << 24;

absl::Status CheckRange(absl::string_view what, int value, int max) {
  if (value >= 1 && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " is ", value, "; 1 to ", max, " is allowed"));
}

absl::Status CheckDivides(absl::string_view what, int value,
                          absl::string_view by_what, int by) {
  if (value % by == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      what, " ", value, " is not a multiple of ", by_what, " ", by));
}

// The first that is not OK.
absl::Status FirstError(std::initializer_list<absl::Status> statuses) {
  for (const absl::Status& status : statuses) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CheckTransformer(absl::string_view tower,
                              const TransformerShape& shape) {
  absl::Status status = FirstError(
      {CheckRange(absl::StrCat(tower, " width"), shape.width, kMaxWidth),
       CheckRange(absl::StrCat(tower, " layers"), shape.layers, kMaxLayers),
       CheckRange(absl::StrCat(tower, " heads"), shape.heads, kMaxWidth),
       CheckRange(absl::StrCat(tower, " mlp width"), shape.mlp_width,
                  kMaxWidth)});
  if (!status.ok()) return status;
  if (!(shape.norm_epsilon > 0 && shape.norm_epsilon < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat(tower, " layer norm epsilon is ", shape.norm_epsilon,
                     ", expected between 0 and 1"));
  }
  return CheckDivides(absl::StrCat(tower, " width"), shape.width, "its heads",
                      shape.heads);
}

absl::Status CheckVision(const VitShape& vit, const Architecture& all) {
  const int image_size = all.image_size;
  absl::Status status =
      FirstError({CheckTransformer("vision", vit.transformer),
                  CheckRange("patch size", vit.patch, kMaxImageSize)});
  if (!status.ok()) return status;
  status = CheckRange("patch size", vit.patch, image_size);
  if (status.ok() && vit.any_grid) {
    // As many pixels as the largest square.
    const int64_t most =
        int64_t{kMaxImageSize} * kMaxImageSize / vit.patch / vit.patch;
    status = CheckRange("most patches", all.most_patches,
                        static_cast<int>(std::min<int64_t>(most, kMaxPatches)));
  }
  if (status.ok() && vit.stem && (vit.patch != 16 || image_size % 16 != 0)) {
    status = absl::InvalidArgumentError(absl::StrCat(
        "patches by three convolutions are of 16 x 16 pixels, found are ",
        vit.patch, " of an image of ", image_size));
  }
  if (status.ok() && vit.rotary.used) {
    status = CheckDivides("vision width of a head",
                          vit.transformer.width / vit.transformer.heads,
                          "rotary positions'", 4);
  }
  if (status.ok() && vit.pool == VitPool::kQueries) {
    status = FirstError(
        {CheckRange("attention pool's heads", vit.pool_heads, kMaxWidth),
         CheckRange("attention pool's queries", vit.pool_queries, kMaxWidth)});
    if (!status.ok()) return status;
    return CheckDivides("embedding dimension", all.embedding_dim,
                        "the attention pool's heads", vit.pool_heads);
  }
  if (!status.ok() || vit.pool != VitPool::kAttention) return status;
  status = FirstError(
      {CheckRange("attention pool's heads", vit.pool_heads, kMaxWidth),
       CheckRange("attention pool's mlp width", vit.pool_mlp_width,
                  kMaxWidth)});
  if (!status.ok()) return status;
  return CheckDivides("vision width", vit.transformer.width,
                      "the attention pool's heads", vit.pool_heads);
}

absl::Status CheckVision(const ResNetShape& resnet, const Architecture& all) {
  absl::Status status =
      FirstError({CheckRange("ResNet width", resnet.width, kMaxWidth / 32),
                  CheckRange("ResNet heads", resnet.heads, kMaxWidth)});
  for (const int blocks : resnet.blocks) {
    if (status.ok())
      status = CheckRange("ResNet blocks of a stage", blocks, kMaxLayers);
  }
  if (!status.ok()) return status;
  return FirstError(
      {CheckDivides("ResNet width", resnet.width, "2 channels of the stem:", 2),
       CheckDivides("ResNet features", resnet.width * 32, "the pool's heads",
                    resnet.heads),
       CheckDivides("image size", all.image_size, "the ResNet's stride", 32)});
}

using Specs = std::vector<TensorSpec>;

void AddAffine(const std::string& name, std::vector<int64_t> weight,
               Specs* specs) {
  const int64_t out = weight[0];
  specs->push_back({name + ".weight", std::move(weight)});
  specs->push_back({name + ".bias", {out}});
}

void AddTransformer(const std::string& prefix, const TransformerShape& shape,
                    Specs* specs) {
  const int64_t width = shape.width;
  for (int layer = 0; layer < shape.layers; ++layer) {
    const std::string block = absl::StrCat(prefix, ".resblocks.", layer, ".");
    AddAffine(block + "ln_1", {width}, specs);
    specs->push_back({block + "attn.in_proj_weight", {3 * width, width}});
    specs->push_back({block + "attn.in_proj_bias", {3 * width}});
    if (shape.gated) AddAffine(block + "attn.norm", {width}, specs);
    AddAffine(block + "attn.out_proj", {width, width}, specs);
    AddAffine(block + "ln_2", {width}, specs);
    AddAffine(block + "mlp.c_fc",
              {int64_t{shape.gated ? 2 : 1} * shape.mlp_width, width}, specs);
    if (shape.gated) AddAffine(block + "mlp.norm", {shape.mlp_width}, specs);
    AddAffine(block + "mlp.c_proj", {width, shape.mlp_width}, specs);
  }
}

void AddConvolution(const std::string& prefix, const std::string& convolution,
                    const std::string& norm, int64_t out, int64_t in,
                    int64_t kernel, Specs* specs) {
  specs->push_back(
      {prefix + convolution + ".weight", {out, in, kernel, kernel}});
  AddAffine(prefix + norm, {out}, specs);
  specs->push_back({prefix + norm + ".running_mean", {out}});
  specs->push_back({prefix + norm + ".running_var", {out}});
}

void AddProjection(const std::string& name, const ProjectionShape& shape,
                   int64_t in, int64_t out, Specs* specs) {
  if (shape.hidden > 0) {
    specs->push_back({name + "_hidden", {in, shape.hidden}});
    if (shape.hidden_bias)
      specs->push_back({name + "_hidden_bias", {shape.hidden}});
    in = shape.hidden;
  }
  if (shape.used) specs->push_back({name, {in, out}});
  if (shape.bias) specs->push_back({name + "_bias", {out}});
}

void AddVision(const VitShape& vit, const Architecture& all, Specs* specs) {
  const int64_t width = vit.transformer.width;
  const int64_t grid = vit.grid(all.image_size);
  const bool class_position = vit.class_token && vit.class_position;
  if (vit.class_token) specs->push_back({"visual.class_embedding", {width}});
  specs->push_back({"visual.positional_embedding",
                    {grid * grid + (class_position ? 1 : 0), width}});
  if (vit.stem) {
    const int64_t narrow = width / 4;
    AddConvolution("visual.stem.0.", "conv", "bn", narrow, 3, 4, specs);
    AddConvolution("visual.stem.1.", "conv", "bn", narrow, narrow, 2, specs);
    AddAffine("visual.stem.2.conv", {width, narrow, 2, 2}, specs);
  } else {
    const int64_t patch = vit.patch;
    std::vector<int64_t> shape = {width, 3, patch, patch};
    if (vit.any_grid) shape = {width, patch * patch * 3};
    specs->push_back({"visual.conv1.weight", std::move(shape)});
    if (vit.patch_bias) specs->push_back({"visual.conv1.bias", {width}});
  }
  if (vit.norm_before) AddAffine("visual.ln_pre", {width}, specs);
  AddTransformer("visual.transformer", vit.transformer, specs);
  // The width of what is pooled.
  const int64_t pooled =
      vit.pool == VitPool::kQueries ? all.embedding_dim : width;
  AddAffine("visual.ln_post", {pooled}, specs);
  if (vit.pool == VitPool::kAttention) {
    const std::string pool = "visual.attn_pool.";
    specs->push_back({pool + "probe", {width}});
    specs->push_back({pool + "attn.in_proj_weight", {3 * width, width}});
    specs->push_back({pool + "attn.in_proj_bias", {3 * width}});
    AddAffine(pool + "attn.out_proj", {width, width}, specs);
    AddAffine(pool + "layernorm", {width}, specs);
    AddAffine(pool + "mlp.c_fc", {vit.pool_mlp_width, width}, specs);
    AddAffine(pool + "mlp.c_proj", {width, vit.pool_mlp_width}, specs);
  }
  if (vit.pool == VitPool::kQueries) {
    const std::string pool = "visual.attn_pool.";
    specs->push_back({pool + "query", {vit.pool_queries, pooled}});
    AddAffine(pool + "ln_q", {pooled}, specs);
    AddAffine(pool + "ln_k", {width}, specs);
    if (width == pooled) {
      specs->push_back({pool + "attn.in_proj_weight", {3 * width, width}});
    } else {
      specs->push_back({pool + "attn.q_proj_weight", {pooled, pooled}});
      specs->push_back({pool + "attn.k_proj_weight", {pooled, width}});
      specs->push_back({pool + "attn.v_proj_weight", {pooled, width}});
    }
    specs->push_back({pool + "attn.in_proj_bias", {3 * pooled}});
    AddAffine(pool + "attn.out_proj", {pooled, pooled}, specs);
  }
  AddProjection("visual.proj", vit.projection, pooled, all.embedding_dim,
                specs);
}

void AddVision(const ResNetShape& resnet, const Architecture& all,
               Specs* specs) {
  const int64_t width = resnet.width;
  AddConvolution("visual.", "conv1", "bn1", width / 2, 3, 3, specs);
  AddConvolution("visual.", "conv2", "bn2", width / 2, width / 2, 3, specs);
  AddConvolution("visual.", "conv3", "bn3", width, width / 2, 3, specs);
  int64_t in = width;
  for (int stage = 0; stage < 4; ++stage) {
    const int64_t planes = width << stage;
    for (int i = 0; i < resnet.blocks[stage]; ++i) {
      const std::string block =
          absl::StrCat("visual.layer", stage + 1, ".", i, ".");
      AddConvolution(block, "conv1", "bn1", planes, in, 1, specs);
      AddConvolution(block, "conv2", "bn2", planes, planes, 3, specs);
      AddConvolution(block, "conv3", "bn3", 4 * planes, planes, 1, specs);
      if (i == 0)
        AddConvolution(block, "downsample.0", "downsample.1", 4 * planes, in, 1,
                       specs);
      in = 4 * planes;
    }
  }
  const int64_t features = 32 * width;
  const int64_t grid = all.image_size / 32;
  specs->push_back(
      {"visual.attnpool.positional_embedding", {grid * grid + 1, features}});
  for (const char* name : {"q_proj", "k_proj", "v_proj"}) {
    AddAffine(absl::StrCat("visual.attnpool.", name), {features, features},
              specs);
  }
  AddAffine("visual.attnpool.c_proj", {all.embedding_dim, features}, specs);
}

TransformerShape ClassicTransformer(int width, int layers) {
  return {width, layers, width / 64, 4 * width};
}

Architecture KnownVit(int embedding_dim, int image_size, int patch, int width,
                      int layers, int text_width) {
  return {.embedding_dim = embedding_dim,
          .image_size = image_size,
          .vision = VitShape{patch, ClassicTransformer(width, layers)},
          .context_length = 77,
          .vocab_size = 49408,
          .text = ClassicTransformer(text_width, 12)};
}

Architecture KnownResNet(int embedding_dim, int image_size, int width,
                         std::array<int, 4> blocks, int text_width) {
  return {.embedding_dim = embedding_dim,
          .image_size = image_size,
          .vision = ResNetShape{width, blocks, width * 32 / 64},
          .context_length = 77,
          .vocab_size = 49408,
          .text = ClassicTransformer(text_width, 12)};
}

std::string DescribeTransformer(const TransformerShape& shape) {
  return absl::StrFormat("width=%d layers=%d heads=%d mlp=%d act=%s eps=%.9g",
                         shape.width, shape.layers, shape.heads,
                         shape.mlp_width, ActivationName(shape.activation),
                         shape.norm_epsilon);
}

// "B" and so on, as papers call them, or a description.
std::string SizeName(const TransformerShape& shape) {
  struct Size {
    int width, layers;
    const char* name;
  };
  static constexpr Size kSizes[] = {{768, 12, "B"},       {1024, 24, "L"},
                                    {1280, 32, "H"},      {1664, 48, "bigG"},
                                    {1152, 27, "So400m"}, {1536, 40, "g-opt"}};
  for (const Size& size : kSizes) {
    if (size.width == shape.width && size.layers == shape.layers)
      return size.name;
  }
  return absl::StrCat("w", shape.width, "-l", shape.layers);
}

std::string DescribeProjection(const ProjectionShape& shape) {
  return absl::StrCat(shape.used ? "" : " projection=no",
                      shape.hidden > 0
                          ? absl::StrCat(" projection_hidden=", shape.hidden,
                                         shape.hidden_bias ? ",bias" : "")
                          : "",
                      shape.bias ? " projection_bias" : "");
}

// What differs from CLIP's vision transformer; empty for one of CLIP's.
std::string DescribeOptions(const VitShape& vit) {
  return absl::StrCat(
      vit.class_token ? "" : " class_token=no",
      vit.class_position ? "" : " class_position=no", vit.stem ? " stem" : "",
      vit.transformer.gated ? " gated" : "",
      vit.rotary.used
          ? absl::StrCat(
                " rotary=", vit.rotary.columns_first ? "columns," : "rows,",
                vit.rotary.offset, ",", vit.rotary.reference_grid)
          : "",
      vit.patch_bias ? " patch_bias" : "", vit.any_grid ? " any_grid" : "",
      vit.norm_before ? "" : " norm_before=no",
      vit.pool == VitPool::kMean ? " pool=mean" : "",
      vit.pool == VitPool::kAttention
          ? absl::StrCat(" pool=attention heads=", vit.pool_heads,
                         " mlp=", vit.pool_mlp_width,
                         " act=", ActivationName(vit.pool_activation))
          : "",
      vit.pool == VitPool::kQueries
          ? absl::StrCat(" pool=queries heads=", vit.pool_heads,
                         " of=", vit.pool_queries)
          : "",
      DescribeProjection(vit.projection));
}

std::string DescribeTextOptions(const Architecture& all) {
  return absl::StrCat(
      all.text_mask == TextMask::kCausal ? ""
      : all.text_mask == TextMask::kNone ? " causal=no"
      : all.padding_has_places           ? " causal=no masked"
                                         : " causal=no masked placeless",
      all.text.norm_after ? " norm_after" : "",
      all.text_pool == TextPool::kHighest ? ""
      : all.text_pool == TextPool::kFirst ? " pool=first"
      : all.text_pool == TextPool::kLast  ? " pool=last"
      : all.text_pool == TextPool::kMean  ? " pool=mean"
      : all.text_pool == TextPool::kClass
          ? " pool=class"
          : absl::StrCat(" pool=end ", all.end_token),
      all.pad_token == 0 ? "" : absl::StrCat(" pad=", all.pad_token),
      all.pad_left ? " pad_left" : "", DescribeProjection(all.text_projection));
}

// What makes a vision tower the known one; its activation does not.
std::string VisionKey(const Architecture& all) {
  if (const auto* vit = std::get_if<VitShape>(&all.vision)) {
    return absl::StrCat("vit ", vit->transformer.width, " ",
                        vit->transformer.layers, " ", vit->patch, " ",
                        all.image_size, DescribeOptions(*vit));
  }
  const auto& resnet = std::get<ResNetShape>(all.vision);
  return absl::StrCat("resnet ", resnet.width, " ",
                      absl::StrJoin(resnet.blocks, "."));
}

}  // namespace

absl::string_view ActivationName(Activation activation) {
  switch (activation) {
    case Activation::kQuickGelu:
      return "quick_gelu";
    case Activation::kGelu:
      return "gelu";
    case Activation::kTanhGelu:
      return "tanh_gelu";
  }
  return "";
}

absl::Status CheckArchitecture(const Architecture& all) {
  absl::Status status = FirstError(
      {CheckRange("embedding dimension", all.embedding_dim, kMaxWidth),
       CheckRange("image size", all.image_size, kMaxImageSize),
       CheckRange("context length", all.context_length, kMaxContext),
       CheckRange("vocabulary size", all.vocab_size, kMaxVocab),
       CheckTransformer("text", all.text)});
  if (!status.ok()) return status;
  if (all.pad_token < 0 || all.pad_token >= all.vocab_size) {
    return absl::InvalidArgumentError(
        absl::StrCat("the token that pads texts is ", all.pad_token, "; 0 to ",
                     all.vocab_size - 1, " is allowed"));
  }
  // What no projection changes has the embedding's width.
  const auto* vit = std::get_if<VitShape>(&all.vision);
  for (const auto& [tower, projection, width] :
       {std::tuple{"vision",
                   vit == nullptr ? ProjectionShape() : vit->projection,
                   vit == nullptr ? 0 : vit->transformer.width},
        std::tuple{"text", all.text_projection, all.text.width}}) {
    if (projection.hidden > 0) {
      status = CheckRange(absl::StrCat(tower, " projection's hidden width"),
                          projection.hidden, kMaxWidth);
      if (!status.ok()) return status;
    }
    if (projection.used || width == all.embedding_dim) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        tower, " width ", width, " is not the embedding dimension ",
        all.embedding_dim, ", and there is no projection"));
  }
  for (const float std : all.std) {
    if (!(std > 0))
      return absl::InvalidArgumentError(
          absl::StrCat("image std is ", std, ", expected above 0"));
  }
  return std::visit(
      [&](const auto& vision) { return CheckVision(vision, all); }, all.vision);
}

std::vector<TensorSpec> RequiredTensors(const Architecture& all) {
  const int64_t width = all.text.width;
  Specs specs = {
      {"logit_scale", {}},
      {"token_embedding.weight", {all.vocab_size, width}},
      {"positional_embedding",
       {all.context_length + (all.text_pool == TextPool::kClass ? 1 : 0),
        width}}};
  if (all.text_pool == TextPool::kClass)
    specs.push_back({"class_embedding", {width}});
  if (all.logit_bias) specs.push_back({"logit_bias", {}});
  AddTransformer("transformer", all.text, &specs);
  if (all.text.norm_after) {
    specs.push_back({"token_type_embedding", {1, width}});
    AddAffine("ln_pre", {width}, &specs);
  } else {
    AddAffine("ln_final", {width}, &specs);
  }
  AddProjection("text_projection", all.text_projection, width,
                all.embedding_dim, &specs);
  std::visit([&](const auto& vision) { AddVision(vision, all, &specs); },
             all.vision);
  return specs;
}

const std::vector<NamedArchitecture>& KnownArchitectures() {
  static const auto* const known = new std::vector<NamedArchitecture>{
      {"ViT-B/32", KnownVit(512, 224, 32, 768, 12, 512)},
      {"ViT-B/16", KnownVit(512, 224, 16, 768, 12, 512)},
      {"ViT-L/14", KnownVit(768, 224, 14, 1024, 24, 768)},
      {"ViT-L/14@336px", KnownVit(768, 336, 14, 1024, 24, 768)},
      {"RN50", KnownResNet(1024, 224, 64, {3, 4, 6, 3}, 512)},
      {"RN101", KnownResNet(512, 224, 64, {3, 4, 23, 3}, 512)},
      {"RN50x4", KnownResNet(640, 288, 80, {4, 6, 10, 6}, 640)},
      {"RN50x16", KnownResNet(768, 384, 96, {6, 8, 18, 8}, 768)},
      {"RN50x64", KnownResNet(1024, 448, 128, {3, 15, 36, 10}, 1024)},
  };
  return *known;
}

std::string FamilyName(const Architecture& architecture) {
  for (const NamedArchitecture& known : KnownArchitectures()) {
    if (VisionKey(known.architecture) == VisionKey(architecture))
      return known.name;
  }
  if (const auto* vit = std::get_if<VitShape>(&architecture.vision)) {
    const bool siglip = architecture.logit_bias && !vit->class_token &&
                        vit->pool == VitPool::kAttention;
    return absl::StrCat(siglip ? "SigLIP-" : "ViT-", SizeName(vit->transformer),
                        "/", vit->patch);
  }
  const auto& resnet = std::get<ResNetShape>(architecture.vision);
  return absl::StrCat("RN-w", resnet.width, "-",
                      absl::StrJoin(resnet.blocks, "."));
}

std::string Describe(const Architecture& all) {
  std::string vision;
  if (const auto* vit = std::get_if<VitShape>(&all.vision)) {
    vision = absl::StrCat("vit patch=", vit->patch, " ",
                          DescribeTransformer(vit->transformer),
                          DescribeOptions(*vit));
  } else {
    const auto& resnet = std::get<ResNetShape>(all.vision);
    vision = absl::StrCat("resnet width=", resnet.width,
                          " blocks=", absl::StrJoin(resnet.blocks, "."),
                          " heads=", resnet.heads);
  }
  const auto triple = [](const std::array<float, 3>& v) {
    return absl::StrFormat("%.9g,%.9g,%.9g", v[0], v[1], v[2]);
  };
  return absl::StrCat(
      "dim=", all.embedding_dim, " image=", all.image_size,
      " mean=", triple(all.mean), " std=", triple(all.std), " vision: ", vision,
      " context=", all.context_length, " vocab=", all.vocab_size,
      " text: ", DescribeTransformer(all.text), DescribeTextOptions(all),
      all.resize == ResizeMode::kSquash ? " resize=squash"
      : all.resize == ResizeMode::kLongest
          ? absl::StrCat(" resize=longest fill=", all.fill)
      : all.resize == ResizeMode::kPatches
          ? absl::StrCat(" resize=patches most=", all.most_patches)
          : "",
      all.bilinear ? " filter=bilinear" : "",
      all.logit_bias ? " head=sigmoid" : "");
}

}  // namespace clip
