#include "clip/checkpoint/architecture.h"

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
constexpr int kMaxVocab = 1 << 24;

absl::Status CheckRange(absl::string_view what, int value, int max) {
  if (value >= 1 && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " is ", value, ", allowed are 1 to ", max));
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

absl::Status CheckVision(const VitShape& vit, int image_size) {
  absl::Status status =
      FirstError({CheckTransformer("vision", vit.transformer),
                  CheckRange("patch size", vit.patch, kMaxImageSize)});
  if (!status.ok()) return status;
  return CheckDivides("image size", image_size, "the patch size", vit.patch);
}

absl::Status CheckVision(const ResNetShape& resnet, int image_size) {
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
       CheckDivides("image size", image_size, "the ResNet's stride", 32)});
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
    AddAffine(block + "attn.out_proj", {width, width}, specs);
    AddAffine(block + "ln_2", {width}, specs);
    AddAffine(block + "mlp.c_fc", {shape.mlp_width, width}, specs);
    AddAffine(block + "mlp.c_proj", {width, shape.mlp_width}, specs);
  }
}

void AddVision(const VitShape& vit, const Architecture& all, Specs* specs) {
  const int64_t width = vit.transformer.width;
  const int64_t grid = all.image_size / vit.patch;
  specs->push_back({"visual.class_embedding", {width}});
  specs->push_back({"visual.positional_embedding", {grid * grid + 1, width}});
  specs->push_back({"visual.conv1.weight", {width, 3, vit.patch, vit.patch}});
  AddAffine("visual.ln_pre", {width}, specs);
  AddTransformer("visual.transformer", vit.transformer, specs);
  AddAffine("visual.ln_post", {width}, specs);
  specs->push_back({"visual.proj", {width, all.embedding_dim}});
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

// What makes a vision tower the known one; its activation does not.
std::string VisionKey(const Architecture& all) {
  if (const auto* vit = std::get_if<VitShape>(&all.vision)) {
    return absl::StrCat("vit ", vit->transformer.width, " ",
                        vit->transformer.layers, " ", vit->patch, " ",
                        all.image_size);
  }
  const auto& resnet = std::get<ResNetShape>(all.vision);
  return absl::StrCat("resnet ", resnet.width, " ",
                      absl::StrJoin(resnet.blocks, "."));
}

}  // namespace

absl::string_view ActivationName(Activation activation) {
  return activation == Activation::kGelu ? "gelu" : "quick_gelu";
}

absl::Status CheckArchitecture(const Architecture& all) {
  absl::Status status = FirstError(
      {CheckRange("embedding dimension", all.embedding_dim, kMaxWidth),
       CheckRange("image size", all.image_size, kMaxImageSize),
       CheckRange("context length", all.context_length, kMaxContext),
       CheckRange("vocabulary size", all.vocab_size, kMaxVocab),
       CheckTransformer("text", all.text)});
  if (!status.ok()) return status;
  for (const float std : all.std) {
    if (!(std > 0))
      return absl::InvalidArgumentError(
          absl::StrCat("image std is ", std, ", expected above 0"));
  }
  return std::visit(
      [&](const auto& vision) { return CheckVision(vision, all.image_size); },
      all.vision);
}

std::vector<TensorSpec> RequiredTensors(const Architecture& all) {
  const int64_t width = all.text.width;
  Specs specs = {{"logit_scale", {}},
                 {"token_embedding.weight", {all.vocab_size, width}},
                 {"positional_embedding", {all.context_length, width}}};
  AddTransformer("transformer", all.text, &specs);
  AddAffine("ln_final", {width}, &specs);
  specs.push_back({"text_projection", {width, all.embedding_dim}});
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
    return absl::StrCat("ViT-w", vit->transformer.width, "-l",
                        vit->transformer.layers, "/", vit->patch);
  }
  const auto& resnet = std::get<ResNetShape>(architecture.vision);
  return absl::StrCat("RN-w", resnet.width, "-",
                      absl::StrJoin(resnet.blocks, "."));
}

std::string Describe(const Architecture& all) {
  std::string vision;
  if (const auto* vit = std::get_if<VitShape>(&all.vision)) {
    vision = absl::StrCat("vit patch=", vit->patch, " ",
                          DescribeTransformer(vit->transformer));
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
      " text: ", DescribeTransformer(all.text),
      all.causal_text ? "" : " causal=no", all.squash ? " resize=squash" : "");
}

}  // namespace clip
