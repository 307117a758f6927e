#include "tests/testing/checkpoint_files.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "clip/clip_tokenizer.h"
#include "tests/testing/random_tensors.h"

namespace clip::testing {
namespace {

using nlohmann::json;

at::Tensor MakeTensor(const TensorSpec& spec,
                      const RandomCheckpoint& checkpoint) {
  std::vector<float> values = RandomTensor(spec, checkpoint.seed);
  const at::Tensor tensor =
      at::from_blob(values.data(), spec.shape, at::kFloat).clone();
  return checkpoint.half ? tensor.to(at::kHalf) : tensor;
}

// The names as a tree, cut at their dots. A leaf has a tensor.
struct Node {
  std::map<std::string, Node> children;
  const TensorSpec* leaf = nullptr;
};

torch::jit::Module MakeModule(
    const Node& node, const std::string& class_name,
    const std::shared_ptr<torch::jit::CompilationUnit>& unit,
    const RandomCheckpoint& checkpoint) {
  torch::jit::Module module(c10::QualifiedName("__torch__." + class_name),
                            unit);
  for (const auto& [name, child] : node.children) {
    if (child.leaf != nullptr) {
      module.register_parameter(name, MakeTensor(*child.leaf, checkpoint),
                                /*is_buffer=*/false);
    } else {
      module.register_module(
          name, MakeModule(child, class_name + "_" + name, unit, checkpoint));
    }
  }
  return module;
}

}  // namespace

Architecture TinyVit() {
  return {.embedding_dim = 16,
          .image_size = 16,
          .vision = VitShape{8, {64, 2, 1, 256}},
          .context_length = 12,
          .vocab_size = ClipTokenizer::kVocabSize,
          .text = {64, 2, 1, 256}};
}

void WriteTorchScript(const RandomCheckpoint& checkpoint,
                      const std::string& path) {
  Node root;
  for (const TensorSpec& spec : checkpoint.tensors) {
    Node* node = &root;
    for (const absl::string_view part : absl::StrSplit(spec.name, '.')) {
      node = &node->children[std::string(part)];
    }
    node->leaf = &spec;
  }
  MakeModule(root, "CLIP", std::make_shared<torch::jit::CompilationUnit>(),
             checkpoint)
      .save(path);
}

void WriteStateDict(const RandomCheckpoint& checkpoint,
                    const std::string& path) {
  c10::Dict<std::string, at::Tensor> state;
  for (const TensorSpec& spec : checkpoint.tensors)
    state.insert(spec.name, MakeTensor(spec, checkpoint));
  const std::vector<char> bytes = torch::jit::pickle_save(state);
  WriteFile(path, std::string(bytes.begin(), bytes.end()));
}

void WriteSafetensors(const RandomCheckpoint& checkpoint,
                      const std::string& path) {
  json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string data;
  for (const TensorSpec& spec : checkpoint.tensors) {
    const at::Tensor tensor = MakeTensor(spec, checkpoint);
    const size_t begin = data.size();
    data.append(static_cast<const char*>(tensor.data_ptr()), tensor.nbytes());
    header[spec.name] = {{"dtype", checkpoint.half ? "F16" : "F32"},
                         {"shape", spec.shape},
                         {"data_offsets", {begin, data.size()}}};
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string size(8, '\0');
  for (int i = 0; i < 8; ++i)
    size[i] = static_cast<char>(text.size() >> (8 * i));
  WriteFile(path, size + text + data);
}

void WriteShards(const RandomCheckpoint& checkpoint, int shards,
                 const std::string& folder) {
  json map = json::object();
  for (int shard = 0; shard < shards; ++shard) {
    RandomCheckpoint part{{}, checkpoint.seed, checkpoint.half};
    const std::string name =
        absl::StrFormat("model-%05d-of-%05d.safetensors", shard + 1, shards);
    for (size_t i = shard; i < checkpoint.tensors.size(); i += shards) {
      part.tensors.push_back(checkpoint.tensors[i]);
      map[checkpoint.tensors[i].name] = name;
    }
    WriteSafetensors(part, folder + "/" + name);
  }
  WriteFile(folder + "/model.safetensors.index.json",
            json{{"metadata", {}}, {"weight_map", map}}.dump());
}

void WriteOpenClip(const Architecture& all, const RandomCheckpoint& checkpoint,
                   const std::string& folder) {
  json vision = {{"image_size", all.image_size}};
  if (const auto* vit = std::get_if<VitShape>(&all.vision)) {
    vision.update(
        {{"layers", vit->transformer.layers},
         {"width", vit->transformer.width},
         {"head_width", vit->transformer.width / vit->transformer.heads},
         {"patch_size", vit->patch}});
  } else {
    const auto& resnet = std::get<ResNetShape>(all.vision);
    vision.update({{"layers", resnet.blocks},
                   {"width", resnet.width},
                   {"patch_size", nullptr}});
  }
  json config = {
      {"model_cfg",
       {{"embed_dim", all.embedding_dim},
        {"quick_gelu", all.text.activation == Activation::kQuickGelu},
        {"vision_cfg", vision},
        {"text_cfg",
         {{"context_length", all.context_length},
          {"vocab_size", all.vocab_size},
          {"width", all.text.width},
          {"heads", all.text.heads},
          {"layers", all.text.layers}}}}},
      {"preprocess_cfg", {{"mean", all.mean}, {"std", all.std}}}};
  if (all.logit_bias) config["model_cfg"]["init_logit_bias"] = -10;
  RandomCheckpoint named = checkpoint;
  if (all.text_pool == TextPool::kClass) {
    config["model_cfg"]["custom_text"] = true;
    config["model_cfg"]["text_cfg"]["embed_cls"] = true;
    for (TensorSpec& tensor : named.tensors) {
      if (tensor.name == "class_embedding") tensor.name = "cls_emb";
    }
  }
  std::filesystem::create_directories(folder);
  WriteFile(folder + "/open_clip_config.json", config.dump(2));
  WriteSafetensors(named, folder + "/open_clip_model.safetensors");
}

void WriteGolden(const json& golden, const std::string& path) {
  RandomCheckpoint checkpoint{
      {}, golden["seed"].get<uint64_t>(), golden["half"].get<bool>()};
  for (const json& tensor : golden["tensors"]) {
    checkpoint.tensors.push_back(
        {tensor[0].get<std::string>(), tensor[1].get<std::vector<int64_t>>()});
  }
  const std::string format = golden["format"];
  if (format == "torchscript") {
    WriteTorchScript(checkpoint, path);
  } else if (format == "state_dict") {
    WriteStateDict(checkpoint, path);
  } else {
    std::filesystem::create_directories(path);
    for (const auto& [file, content] : golden["files"].items()) {
      WriteFile(path + "/" + file, content.dump());
    }
    if (golden.contains("tokenizer")) {
      for (const auto& [file, from] : golden["tokenizer"].items()) {
        std::filesystem::copy_file(
            absl::StrCat(ZEROSHOT_SOURCE_DIR
                         "/tests/testdata/golden/tokenizers/",
                         from.get<std::string>()),
            path + "/" + file);
      }
    }
    if (format == "shards") {
      WriteShards(checkpoint, 3, path);
    } else {
      WriteSafetensors(checkpoint,
                       path + "/" + golden["weights_file"].get<std::string>());
    }
  }
}

void WriteFile(const std::string& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary);
  file << content;
  file.close();
  if (file.fail()) {
    std::cerr << "cannot write " << path << "\n";
    std::exit(1);
  }
}

}  // namespace clip::testing
