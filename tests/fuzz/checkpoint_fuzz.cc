// Checkpoints as a whole: the first byte says the format, then come the parts,
// between null bytes.
//   h  Hugging Face: config.json, preprocessor_config.json, header of weights
//   o  open_clip: open_clip_config.json, header of weights
//   p  OpenAI: the pickle of a .pt file
//   s  Hugging Face in two shards: config.json, index of weights, two headers
//   b  Hugging Face of PyTorch's weights: config.json, then a pickle
//   t  Hugging Face: config.json, processor_config.json, tokenizer_config.json,
//      tokenizer.json, header of weights
//   u  open_clip: open_clip_config.json, tokenizer_config.json, tokenizer.json,
//      header of weights
//   f  a .safetensors file alone: its header
// Weights have no bytes, so that only tensors with a side of 0 are sound.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "clip/checkpoint/checkpoint.h"
#include "tests/fuzz/fuzz.h"
#include "tests/testing/zip.h"

namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  explicit Folder(const std::string& name)
      // In memory if it can be: each input writes its files again.
      : path_((fs::exists("/dev/shm") ? fs::path("/dev/shm")
                                      : fs::temp_directory_path()) /
              absl::StrCat("zeroshot-fuzz-", getpid(), "-", name)) {
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }

  std::string path() const { return path_; }

  void Write(const std::string& name, absl::string_view content) const {
    std::ofstream(path_ / name, std::ios::binary)
        .write(content.data(), static_cast<std::streamsize>(content.size()));
  }
  void WriteWeights(const std::string& name, absl::string_view header) const {
    Write(name, absl::StrCat(testing_files::Number(header.size(), 8), header));
  }

 private:
  const fs::path path_;
};

void Read(const std::string& path) {
  const auto checkpoint = clip::ReadCheckpoint(path);
  if (checkpoint.ok()) {
    clip::Fingerprint(*checkpoint);
  } else {
    fuzz::CheckRefusal(checkpoint.status());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder hugging_face("h"), open_clip("o"), open_ai("p"),
      shards("s"), pytorch("b"), tokenizer("t"), subwords("u"), file("f");
  if (size == 0) return 0;
  const absl::string_view rest = fuzz::View(data + 1, size - 1);
  if (data[0] == 'p') {
    open_ai.Write("model.pt",
                  testing_files::Zip({{"a/data.pkl", std::string(rest)},
                                      {"a/data/0", std::string(64, 'x')}}));
    Read(open_ai.path() + "/model.pt");
    return 0;
  }
  std::vector<absl::string_view> parts = absl::StrSplit(rest, '\0');
  if (data[0] == 'b') {
    const size_t end = std::min(rest.find('\0'), rest.size());
    pytorch.Write("config.json", rest.substr(0, end));
    pytorch.Write(
        "pytorch_model.bin",
        testing_files::Zip({{"a/data.pkl", std::string(rest.substr(std::min(
                                               end + 1, rest.size())))},
                            {"a/data/0", std::string(64, 'x')}}));
    Read(pytorch.path());
    return 0;
  }
  parts.resize(5);
  if (data[0] == 'h') {
    hugging_face.Write("config.json", parts[0]);
    hugging_face.Write("preprocessor_config.json", parts[1]);
    hugging_face.WriteWeights("model.safetensors", parts[2]);
    Read(hugging_face.path());
  } else if (data[0] == 'o') {
    open_clip.Write("open_clip_config.json", parts[0]);
    open_clip.WriteWeights("open_clip_model.safetensors", parts[1]);
    Read(open_clip.path());
  } else if (data[0] == 's') {
    shards.Write("config.json", parts[0]);
    shards.Write("model.safetensors.index.json", parts[1]);
    shards.WriteWeights("model-00001-of-00002.safetensors", parts[2]);
    shards.WriteWeights("model-00002-of-00002.safetensors", parts[3]);
    Read(shards.path());
  } else if (data[0] == 't') {
    tokenizer.Write("config.json", parts[0]);
    tokenizer.Write("processor_config.json", parts[1]);
    tokenizer.Write("tokenizer_config.json", parts[2]);
    tokenizer.Write("tokenizer.json", parts[3]);
    tokenizer.WriteWeights("model.safetensors", parts[4]);
    Read(tokenizer.path());
  } else if (data[0] == 'u') {
    subwords.Write("open_clip_config.json", parts[0]);
    subwords.Write("tokenizer_config.json", parts[1]);
    subwords.Write("tokenizer.json", parts[2]);
    subwords.WriteWeights("open_clip_model.safetensors", parts[3]);
    Read(subwords.path());
  } else if (data[0] == 'f') {
    file.WriteWeights("model.safetensors", rest);
    Read(file.path() + "/model.safetensors");
  }
  return 0;
}
