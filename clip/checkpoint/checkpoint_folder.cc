#include "clip/checkpoint/checkpoint_folder.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/quoted.h"
#include "clip/checkpoint/config_reader.h"
#include "clip/checkpoint/formats.h"
#include "clip/checkpoint/mapped_file.h"

namespace clip {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Names = std::vector<std::string>;

constexpr absl::string_view kHubPrefix = "models--";
constexpr char kSnapshots[] = "snapshots";

// In this order; a name that ends in .json is an index of shards.
constexpr const char* kOpenClipWeights[] = {
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth"};
constexpr const char* kHuggingFaceWeights[] = {
    "model.safetensors",      "model.safetensors.index.json",
    "pytorch_model.bin",      "pytorch_model.bin.index.json",
    "pytorch_model.pth",      "model.pth",
    "model.fp16.safetensors", "model.safetensors.index.fp16.json",
    "pytorch_model.fp16.bin", "pytorch_model.bin.index.fp16.json",
    "model.bf16.safetensors", "pytorch_model.bf16.bin"};

// Folders that are something else, by a file in them.
struct OtherFolder {
  const char* file;
  const char* what;
};
constexpr OtherFolder kOtherFolders[] = {
    {"adapter_config.json",
     "a LoRA adapter: merge it into its model first (merge_and_unload) and "
     "save that"},
    {"model_index.json",
     "a diffusers pipeline, which has no image tower of CLIP's"},
    {"saved_model.pb",
     "a TensorFlow model: fetch the PyTorch or safetensors "
     "weights instead"},
    {"tf_model.h5",
     "a TensorFlow model: fetch the PyTorch or safetensors "
     "weights instead"},
    {"flax_model.msgpack",
     "a Flax model: fetch the PyTorch or safetensors "
     "weights instead"},
};

bool Exists(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

// The folders or files in a folder, sorted.
Names Listed(const fs::path& folder, bool folders) {
  Names names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    if (at->is_directory(error) == folders)
      names.push_back(at->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool IsWeightsName(const std::string& name) {
  for (const char* end : {".safetensors", ".pt", ".pth", ".bin", ".ckpt"}) {
    if (absl::EndsWith(name, end)) return true;
  }
  return false;
}

// A shard lies beside its index: a name with a folder in it is refused.
absl::StatusOr<Names> Shards(const fs::path& folder, const std::string& index) {
  const absl::StatusOr<json> read = ReadJsonObject(folder / index);
  if (!read.ok()) return read.status();
  std::set<std::string> files;
  const json map = read->value("weight_map", json());
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
        "'", index,
        "': 'weight_map' must map tensors to files of the same folder"));
  }
  // The checkpoint is there and is not whole: no NotFound of the file.
  for (const std::string& name : files) {
    if (Exists(folder / name)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "'", index, "' names ", base::Quoted(name),
        ", which is not in the folder: fetch all of the checkpoint's files"));
  }
  return Names(files.begin(), files.end());
}

template <size_t kCount>
absl::StatusOr<Names> FirstOf(const fs::path& folder,
                              const char* const (&candidates)[kCount]) {
  for (const char* name : candidates) {
    if (!Exists(folder / name)) continue;
    return absl::EndsWith(name, ".json") ? Shards(folder, name) : Names{name};
  }
  return Names();
}

// The snapshot of a repository in a hub's cache.
absl::StatusOr<fs::path> Snapshot(const fs::path& repository) {
  const fs::path snapshots = repository / kSnapshots;
  const Names found = Listed(snapshots, /*folders=*/true);
  if (found.size() == 1) return snapshots / found[0];
  std::string main;
  std::ifstream(repository / "refs" / "main") >> main;
  if (std::find(found.begin(), found.end(), main) != found.end())
    return snapshots / main;
  return absl::InvalidArgumentError(absl::StrCat(
      "a repository of a hub's cache with ", found.size(),
      " snapshots, and refs/main names none of them: say the folder of one"));
}

// The model in a sentence-transformers bundle, whose modules.json lists what
// comes after each other.
absl::StatusOr<fs::path> BundledModel(const fs::path& bundle) {
  const auto text = ReadJson(bundle / "modules.json");
  if (!text.ok()) return text.status();
  fs::path model;
  for (const json& module : *text) {
    if (!module.is_object()) continue;
    const json type = module.value("type", json());
    const json path = module.value("path", json());
    const std::string kind = type.is_string() ? type.get<std::string>() : "";
    if (absl::EndsWith(kind, ".Normalize")) continue;  // we do so anyway
    const bool first = model.empty();
    if (!first || !path.is_string() ||
        !(absl::EndsWith(kind, ".CLIPModel") ||
          absl::EndsWith(kind, ".Transformer"))) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a sentence-transformers bundle: its module ", base::Quoted(kind),
          " is not supported, only one CLIPModel is"));
    }
    const fs::path part = path.get<std::string>();
    if (part.is_absolute() || absl::StrContains(part.string(), "..")) {
      return absl::InvalidArgumentError(
          "'modules.json': 'path' must be a folder of the same folder");
    }
    model = bundle / part / "";
  }
  if (model.empty()) {
    return absl::InvalidArgumentError("'modules.json' lists no model");
  }
  return model;
}

// Weights of a folder without a configuration: the only such file.
absl::StatusOr<Names> OnlyWeights(const fs::path& folder) {
  Names weights;
  for (const std::string& name : Listed(folder, /*folders=*/false)) {
    if (IsWeightsName(name)) weights.push_back(name);
  }
  if (weights.size() == 1) return weights;
  if (!weights.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the folder has neither config.json (Hugging Face) nor "
                     "open_clip_config.json (open_clip), and several files of "
                     "weights: say one of ",
                     absl::StrJoin(weights, ", ")));
  }
  for (const std::string& name : Listed(folder, /*folders=*/false)) {
    if (absl::EndsWith(name, ".onnx")) {
      return absl::InvalidArgumentError(
          "it is an ONNX model: fetch the PyTorch or safetensors weights "
          "instead");
    }
  }
  const Names folders = Listed(folder, /*folders=*/true);
  return absl::InvalidArgumentError(absl::StrCat(
      "the folder has neither config.json (Hugging Face) nor "
      "open_clip_config.json (open_clip), and no file of weights",
      folders.empty() ? ""
                      : absl::StrCat("; is the model in its folder ",
                                     base::Quoted(folders[0]), "?")));
}

}  // namespace

std::string ModelName(const std::string& path) {
  const fs::path whole =
      fs::path(std::string(absl::StripSuffix(path, "/"))).lexically_normal();
  std::string name = BaseName(path);
  const fs::path parent = whole.parent_path();
  if (parent.filename() == kSnapshots &&
      absl::StartsWith(parent.parent_path().filename().string(), kHubPrefix)) {
    name = parent.parent_path().filename().string();
  }
  if (!absl::StartsWith(name, kHubPrefix)) return name;
  return absl::StrReplaceAll(name.substr(kHubPrefix.size()), {{"--", "/"}});
}

bool IsOpenClipsName(const std::string& file) {
  return std::find(std::begin(kOpenClipWeights), std::end(kOpenClipWeights),
                   file) != std::end(kOpenClipWeights);
}

absl::StatusOr<CheckpointFolder> FindCheckpoint(const std::string& path) {
  CheckpointFolder found;
  found.name = ModelName(path);
  fs::path folder = path;
  if (Exists(folder / kSnapshots) && !Exists(folder / kHuggingFaceConfig)) {
    const absl::StatusOr<fs::path> snapshot = Snapshot(folder);
    if (!snapshot.ok()) return snapshot.status();
    folder = *snapshot;
  }
  if (Exists(folder / "modules.json")) {
    const absl::StatusOr<fs::path> model = BundledModel(folder);
    if (!model.ok()) return model.status();
    folder = *model;
  }
  found.folder = folder.string();
  const absl::StatusOr<Names> open_clip = FirstOf(folder, kOpenClipWeights);
  const absl::StatusOr<Names> hugging_face =
      FirstOf(folder, kHuggingFaceWeights);
  const bool open_clip_config = Exists(folder / kOpenClipConfig);
  const bool hugging_face_config = Exists(folder / kHuggingFaceConfig);
  const bool open_clip_whole = open_clip_config && !open_clip->empty();
  if (!hugging_face.ok() && !open_clip_whole) return hugging_face.status();
  if (open_clip_whole) {
    found.format = CheckpointFormat::kOpenClip;
    found.weights = *open_clip;
    return found;
  }
  if (hugging_face_config && (!hugging_face->empty() || !open_clip_config)) {
    found.format = CheckpointFormat::kHuggingFace;
    found.weights = *hugging_face;
  } else if (open_clip_config) {
    found.format = CheckpointFormat::kOpenClip;
    found.weights = *hugging_face;  // open_clip takes these names too
  } else {
    found.weights = open_clip->empty() ? *hugging_face : *open_clip;
  }
  if (!found.weights.empty()) return found;
  for (const OtherFolder& other : kOtherFolders) {
    if (Exists(folder / other.file)) {
      return absl::InvalidArgumentError(absl::StrCat("it is ", other.what));
    }
  }
  if (found.format == CheckpointFormat::kBare) {
    const absl::StatusOr<Names> only = OnlyWeights(folder);
    if (!only.ok()) return only.status();
    found.weights = *only;
    return found;
  }
  found.no_weights =
      found.format == CheckpointFormat::kOpenClip
          ? absl::StrCat("the folder has none of ",
                         absl::StrJoin(kOpenClipWeights, ", "),
                         ", model.safetensors and pytorch_model.bin")
          : absl::StrCat(
                "the folder has neither 'model.safetensors' nor any "
                "of the other names of weights: ",
                absl::StrJoin(kHuggingFaceWeights, ", "));
  return found;
}

}  // namespace clip
