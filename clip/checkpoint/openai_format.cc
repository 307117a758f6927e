// OpenAI's .pt files: a TorchScript archive or a state dict, without a config.
// The architecture follows from the shapes as in openai/CLIP's clip/model.py
// (build_model): heads are width / 64, the activation is QuickGELU.
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "clip/checkpoint/formats.h"
#include "clip/checkpoint/pt_file.h"

namespace clip {
namespace {

constexpr int kHeadWidth = 64;

// Sizes of tensors by name; the first error sticks.
class ShapeReader {
 public:
  explicit ShapeReader(const TensorMap& tensors) : tensors_(tensors) {}

  static constexpr int kMaxSize = 1 << 24;

  const absl::Status& status() const { return status_; }

  int Size(const std::string& name, size_t rank, size_t axis) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end())
      return Fail(absl::StrCat("tensor '", name, "' is missing"));
    const std::vector<int64_t>& shape = found->second.shape;
    if (shape.size() != rank || shape[axis] > kMaxSize) {
      return Fail(absl::StrCat("tensor '", name, "' is ", ShapeText(shape),
                               ", expected ", rank, " dimensions up to ",
                               kMaxSize));
    }
    return static_cast<int>(shape[axis]);
  }

  // How many `prefix`0, `prefix`1, ... there are, judged by the highest, so
  // that a gap is found as a missing tensor.
  int Layers(absl::string_view prefix) {
    int layers = 0;
    for (auto it = tensors_.lower_bound(prefix); it != tensors_.end(); ++it) {
      absl::string_view rest = it->first;
      int layer = 0;
      if (!absl::ConsumePrefix(&rest, prefix)) break;
      if (absl::SimpleAtoi(rest.substr(0, rest.find('.')), &layer) &&
          layer >= 0 && layer < kMaxSize) {
        layers = std::max(layers, layer + 1);
      }
    }
    return layers;
  }

  // The side of the square grid that a positional embedding of grid * grid + 1
  // rows is for.
  int Grid(const std::string& name) {
    const int rows = Size(name, 2, 0);
    const int grid =
        static_cast<int>(std::lround(std::sqrt(std::max(0, rows - 1))));
    if (status_.ok() && grid * grid + 1 != rows) {
      return Fail(absl::StrCat("tensor '", name, "' has ", rows,
                               " rows, expected a square number and 1"));
    }
    return grid;
  }

 private:
  int Fail(const std::string& what) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(what);
    return 0;
  }

  const TensorMap& tensors_;
  absl::Status status_;
};

TransformerShape ReadTransformer(const std::string& prefix, int width,
                                 ShapeReader* shapes) {
  return {
      .width = width,
      .layers = shapes->Layers(prefix + ".resblocks."),
      .heads = std::max(1, width / kHeadWidth),
      .mlp_width = shapes->Size(prefix + ".resblocks.0.mlp.c_fc.bias", 1, 0)};
}

absl::StatusOr<Architecture> InferArchitecture(const TensorMap& tensors) {
  ShapeReader shapes(tensors);
  Architecture all;
  if (tensors.contains("visual.proj")) {
    VitShape vit;
    vit.patch = shapes.Size("visual.conv1.weight", 4, 3);
    vit.transformer =
        ReadTransformer("visual.transformer",
                        shapes.Size("visual.conv1.weight", 4, 0), &shapes);
    // Both are far below 2^31, their product need not be; out of range becomes
    // 0, which CheckArchitecture refuses.
    const int64_t side =
        int64_t{vit.patch} * shapes.Grid("visual.positional_embedding");
    all.image_size = side <= ShapeReader::kMaxSize ? static_cast<int>(side) : 0;
    all.vision = vit;
  } else if (tensors.contains("visual.attnpool.c_proj.weight")) {
    ResNetShape resnet;
    resnet.width = shapes.Size("visual.layer1.0.conv1.weight", 4, 0);
    resnet.heads = std::max(1, resnet.width * 32 / kHeadWidth);
    for (int stage = 0; stage < 4; ++stage) {
      resnet.blocks[stage] =
          shapes.Layers(absl::StrCat("visual.layer", stage + 1, "."));
    }
    all.image_size = 32 * shapes.Grid("visual.attnpool.positional_embedding");
    all.vision = resnet;
  } else {
    return absl::InvalidArgumentError(
        "neither tensor 'visual.proj' (a ViT) nor "
        "'visual.attnpool.c_proj.weight' (a ResNet) found: "
        "not an OpenAI CLIP model");
  }
  all.embedding_dim = shapes.Size("text_projection", 2, 1);
  all.context_length = shapes.Size("positional_embedding", 2, 0);
  all.vocab_size = shapes.Size("token_embedding.weight", 2, 0);
  all.text = ReadTransformer("transformer",
                             shapes.Size("ln_final.weight", 1, 0), &shapes);
  if (!shapes.status().ok()) return shapes.status();
  return all;
}

}  // namespace

absl::StatusOr<Checkpoint> ReadOpenAi(const std::string& path) {
  absl::StatusOr<TensorFile> file = ReadPtFile(path);
  if (!file.ok()) return file.status();
  absl::StatusOr<Architecture> architecture = InferArchitecture(file->tensors);
  if (!architecture.ok()) return architecture.status();
  Checkpoint checkpoint;
  checkpoint.architecture = *std::move(architecture);
  absl::Status status = TakeWeights(*std::move(file), SameName, &checkpoint);
  if (!status.ok()) return status;
  return checkpoint;
}

}  // namespace clip
