#include "tests/testing/state_files.h"

#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "tests/testing/pickles.h"
#include "tests/testing/zip.h"

namespace clip::testing {
namespace {

using nlohmann::json;
using testing_files::Number;

constexpr int kWidth = 64, kLayers = 2, kMlp = 256, kDim = 16;

int64_t Count(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1},
                         std::multiplies<>());
}

std::string Bytes(const StateTensor& tensor) {
  std::string bytes(tensor.values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), tensor.values.data(), bytes.size());
  return bytes;
}

StateTensor Transposed(const StateTensor& tensor) {
  const int64_t rows = tensor.shape[0], columns = tensor.shape[1];
  StateTensor out{{columns, rows}, {}};
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t r = 0; r < rows; ++r)
      out.values.push_back(tensor.values[r * columns + c]);
  }
  return out;
}

// Query, key or value of a joined projection.
StateTensor Third(const StateTensor& joined, int part) {
  StateTensor out{joined.shape, {}};
  out.shape[0] /= 3;
  const int64_t count = Count(out.shape);
  out.values.assign(joined.values.begin() + part * count,
                    joined.values.begin() + (part + 1) * count);
  return out;
}

}  // namespace

Architecture SmallVit() {
  return {.embedding_dim = kDim,
          .image_size = 16,
          .vision = VitShape{8, {kWidth, kLayers, 1, kMlp}},
          .context_length = 12,
          .vocab_size = 40,
          .text = {kWidth, kLayers, 1, kMlp}};
}

State SmallState() {
  State state;
  float next = 0;
  for (const TensorSpec& spec : RequiredTensors(SmallVit())) {
    StateTensor tensor{spec.shape, {}};
    for (int64_t i = 0; i < Count(spec.shape); ++i)
      tensor.values.push_back(next += 0x1p-12f);
    state[spec.name] = tensor;
  }
  return state;
}

State HuggingFaceState() {
  static const auto* const kNames = new std::map<std::string, std::string>{
      {"token_embedding.weight",
       "text_model.embeddings.token_embedding.weight"},
      {"positional_embedding",
       "text_model.embeddings.position_embedding.weight"},
      {"visual.class_embedding", "vision_model.embeddings.class_embedding"},
      {"visual.positional_embedding",
       "vision_model.embeddings.position_embedding.weight"},
      {"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"},
      {"logit_scale", "logit_scale"}};
  State out;
  for (const auto& [name, tensor] : SmallState()) {
    if (const auto found = kNames->find(name); found != kNames->end()) {
      out[found->second] = tensor;
    } else if (name == "text_projection") {
      out["text_projection.weight"] = Transposed(tensor);
    } else if (name == "visual.proj") {
      out["visual_projection.weight"] = Transposed(tensor);
    } else {
      std::string own = absl::StrReplaceAll(
          name,
          {{"visual.transformer.resblocks.", "vision_model.encoder.layers."},
           {"visual.ln_pre.", "vision_model.pre_layrnorm."},
           {"visual.ln_post.", "vision_model.post_layernorm."},
           {"ln_final.", "text_model.final_layer_norm."},
           {"ln_1.", "layer_norm1."},
           {"ln_2.", "layer_norm2."},
           {"attn.", "self_attn."},
           {"mlp.c_fc.", "mlp.fc1."},
           {"mlp.c_proj.", "mlp.fc2."}});
      if (absl::StartsWith(own, "transformer.resblocks."))
        own = "text_model.encoder.layers." + own.substr(22);
      const size_t joined = own.find("in_proj_");
      if (joined == std::string::npos) {
        out[own] = tensor;
        continue;
      }
      for (int part = 0; part < 3; ++part) {
        std::string split = own;
        split.replace(joined, 8, std::string(1, "qkv"[part]) + "_proj.");
        out[split] = Third(tensor, part);
      }
    }
  }
  return out;
}

State Renamed(const State& state,
              const std::function<std::string(const std::string&)>& rename) {
  State out;
  for (const auto& [name, tensor] : state) out[rename(name)] = tensor;
  return out;
}

std::string PtFile(
    const State& state, const std::string& key,
    const std::vector<std::pair<std::string, std::string>>& around) {
  std::vector<std::pair<std::string, std::string>> entries, records;
  records.emplace_back("archive/data.pkl", "");
  for (const auto& [name, tensor] : state) {
    const std::string record = std::to_string(records.size());
    std::vector<int> shape(tensor.shape.begin(), tensor.shape.end());
    std::vector<int> strides(shape.size(), 1);
    for (size_t i = shape.size(); i-- > 1;)
      strides[i - 1] = strides[i] * shape[i];
    entries.emplace_back(name,
                         testing_files::Tensor(record, 0, shape, strides));
    records.emplace_back("archive/data/" + record, Bytes(tensor));
  }
  std::string value = testing_files::Dict(entries);
  if (!key.empty()) {
    auto outer = around;
    outer.emplace_back(key, value);
    value = testing_files::Dict(outer);
  }
  records[0].second = "\x80\2" + value + ".";
  return testing_files::Zip(records);
}

std::string SafetensorsFile(const State& state) {
  json header = json::object();
  std::string data;
  for (const auto& [name, tensor] : state) {
    const size_t begin = data.size();
    data += Bytes(tensor);
    header[name] = {{"dtype", "F32"},
                    {"shape", tensor.shape},
                    {"data_offsets", {begin, data.size()}}};
  }
  const std::string text = header.dump();
  return Number(text.size(), 8) + text + data;
}

std::string HuggingFaceConfig() {
  const json tower = {
      {"hidden_size", kWidth},      {"num_hidden_layers", kLayers},
      {"num_attention_heads", 1},   {"intermediate_size", kMlp},
      {"hidden_act", "quick_gelu"}, {"layer_norm_eps", 1e-5}};
  json text = tower, vision = tower;
  text.update({{"vocab_size", 40}, {"max_position_embeddings", 12}});
  vision.update({{"image_size", 16}, {"patch_size", 8}});
  return json{{"model_type", "clip"},
              {"projection_dim", kDim},
              {"text_config", text},
              {"vision_config", vision}}
      .dump();
}

std::string OpenClipConfig(bool quick_gelu) {
  return json{{"model_cfg",
               {{"embed_dim", kDim},
                {"quick_gelu", quick_gelu},
                {"vision_cfg",
                 {{"image_size", 16},
                  {"layers", kLayers},
                  {"width", kWidth},
                  {"head_width", kWidth},
                  {"patch_size", 8}}},
                {"text_cfg",
                 {{"context_length", 12},
                  {"vocab_size", 40},
                  {"width", kWidth},
                  {"heads", 1},
                  {"layers", kLayers}}}}},
              {"preprocess_cfg", json::object()}}
      .dump();
}

}  // namespace clip::testing
