// Weights without a configuration: OpenAI's TorchScript archives, and state
// dicts with the names of OpenAI, open_clip or Hugging Face. The architecture
// follows from the shapes as in openai/CLIP's clip/model.py (build_model):
// heads are width / 64. The activation shows in no shape.
#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "clip/checkpoint/formats.h"
#include "clip/checkpoint/shape_reader.h"
#include "clip/checkpoint/state_dict.h"

namespace clip {
namespace {

constexpr int kHeadWidth = 64;

TransformerShape ReadTransformer(const std::string& layers,
                                 const std::string& mlp_bias, int width,
                                 ShapeReader* shapes) {
  return {.width = width,
          .layers = shapes->Layers(layers),
          .heads = std::max(1, width / kHeadWidth),
          .mlp_width = shapes->Size(layers + mlp_bias, 1, 0)};
}

// Both factors are far below 2^31, their product need not be; out of range
// becomes 0, which CheckArchitecture refuses.
int ImageSide(int patch, int grid) {
  const int64_t side = int64_t{patch} * grid;
  return side <= ShapeReader::kMaxSize ? static_cast<int>(side) : 0;
}

// By the names of OpenAI and open_clip.
Architecture InferOpenAi(const TensorMap& tensors, ShapeReader* shapes) {
  Architecture all;
  if (tensors.contains("visual.proj")) {
    VitShape vit;
    vit.patch = shapes->Size("visual.conv1.weight", 4, 3);
    vit.transformer =
        ReadTransformer("visual.transformer.resblocks.", "0.mlp.c_fc.bias",
                        shapes->Size("visual.conv1.weight", 4, 0), shapes);
    all.image_size =
        ImageSide(vit.patch, shapes->Grid("visual.positional_embedding"));
    all.vision = vit;
  } else {
    ResNetShape resnet;
    resnet.width = shapes->Size("visual.layer1.0.conv1.weight", 4, 0);
    resnet.heads = std::max(1, resnet.width * 32 / kHeadWidth);
    for (int stage = 0; stage < 4; ++stage) {
      resnet.blocks[stage] =
          shapes->Layers(absl::StrCat("visual.layer", stage + 1, "."));
    }
    all.image_size = 32 * shapes->Grid("visual.attnpool.positional_embedding");
    all.vision = resnet;
  }
  all.logit_bias = tensors.contains("logit_bias");
  all.embedding_dim = shapes->Size("text_projection", 2, 1);
  all.context_length = shapes->Size("positional_embedding", 2, 0);
  all.vocab_size = shapes->Size("token_embedding.weight", 2, 0);
  all.text = ReadTransformer("transformer.resblocks.", "0.mlp.c_fc.bias",
                             shapes->Size("ln_final.weight", 1, 0), shapes);
  return all;
}

// By the names of transformers.
Architecture InferHuggingFace(ShapeReader* shapes) {
  Architecture all;
  VitShape vit;
  const std::string patches = "vision_model.embeddings.patch_embedding.weight";
  vit.patch = shapes->Size(patches, 4, 3);
  vit.transformer =
      ReadTransformer("vision_model.encoder.layers.", "0.mlp.fc1.bias",
                      shapes->Size(patches, 4, 0), shapes);
  all.image_size = ImageSide(
      vit.patch,
      shapes->Grid("vision_model.embeddings.position_embedding.weight"));
  all.vision = vit;
  all.embedding_dim = shapes->Size("text_projection.weight", 2, 0);
  const std::string text = "text_model.embeddings.";
  all.context_length = shapes->Size(text + "position_embedding.weight", 2, 0);
  all.vocab_size = shapes->Size(text + "token_embedding.weight", 2, 0);
  all.text = ReadTransformer(
      "text_model.encoder.layers.", "0.mlp.fc1.bias",
      shapes->Size(text + "token_embedding.weight", 2, 1), shapes);
  return all;
}

void SetActivation(Activation activation, Architecture* all) {
  all->text.activation = activation;
  if (auto* vit = std::get_if<VitShape>(&all->vision))
    vit->transformer.activation = activation;
}

// A model computes with either activation, and wrongly with the other one.
absl::Status ChooseActivation(const TensorFile& file,
                              const std::string& activation,
                              Checkpoint* checkpoint) {
  if (activation != "auto") {
    SetActivation(
        activation == "gelu" ? Activation::kGelu : Activation::kQuickGelu,
        &checkpoint->architecture);
  } else if (file.quick_gelu.has_value()) {
    SetActivation(*file.quick_gelu ? Activation::kQuickGelu : Activation::kGelu,
                  &checkpoint->architecture);
  } else if (file.writer == Writer::kOpenClip) {
    return absl::InvalidArgumentError(
        "a state dict of open_clip's does not say the model's activation: set "
        "--activation=gelu, or --activation=quick_gelu for a model whose name "
        "ends in -quickgelu and for one of OpenAI's that was trained on");
  } else if (file.writer == Writer::kUnknown) {
    checkpoint->warnings.emplace_back(
        "the file does not say the model's activation, QuickGELU is taken as "
        "in OpenAI's models; --activation=gelu or --activation=quick_gelu "
        "says it");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Checkpoint> ReadBare(TensorFile file,
                                    const std::string& activation) {
  const Naming naming = NamingOf(file.tensors);
  if (naming != Naming::kOpenAi && naming != Naming::kHuggingFace) {
    return absl::InvalidArgumentError(
        absl::StrCat("it is ", KindOfModel(file.tensors)));
  }
  ShapeReader shapes(file.tensors);
  Checkpoint checkpoint;
  checkpoint.architecture = naming == Naming::kHuggingFace
                                ? InferHuggingFace(&shapes)
                                : InferOpenAi(file.tensors, &shapes);
  if (!shapes.status().ok()) return shapes.status();
  absl::Status status = ChooseActivation(file, activation, &checkpoint);
  if (!status.ok()) return status;
  status = TakeWeights(
      std::move(file),
      naming == Naming::kHuggingFace ? HuggingFaceName : SameName, &checkpoint);
  if (!status.ok()) return status;
  return checkpoint;
}

}  // namespace clip
