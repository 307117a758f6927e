// Writes checkpoints of random weights in the formats that the readers read.
// Thread rule: free functions; the caller owns the paths.
#ifndef ZEROSHOT_TESTS_TESTING_CHECKPOINT_FILES_H_
#define ZEROSHOT_TESTS_TESTING_CHECKPOINT_FILES_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "clip/checkpoint/architecture.h"

namespace clip::testing {

struct RandomCheckpoint {
  std::vector<TensorSpec> tensors;  // by the names of the file
  uint64_t seed = 1;
  bool half = false;  // float16 instead of float32
};

// Two layers of one head, for images of 16 x 16; CLIP's vocabulary.
Architecture TinyVit();

// A TorchScript archive: a module for each dot in the names, saved by LibTorch.
void WriteTorchScript(const RandomCheckpoint& checkpoint,
                      const std::string& path);

// A state dict as torch.save writes it, by LibTorch's own writer.
void WriteStateDict(const RandomCheckpoint& checkpoint,
                    const std::string& path);

// One safetensors file.
void WriteSafetensors(const RandomCheckpoint& checkpoint,
                      const std::string& path);

// `folder`/model-0000K-of-0000N.safetensors, K = 1 ... shards, and their index,
// named as transformers names them.
void WriteShards(const RandomCheckpoint& checkpoint, int shards,
                 const std::string& folder);

// An open_clip folder.
void WriteOpenClip(const Architecture& architecture,
                   const RandomCheckpoint& checkpoint,
                   const std::string& folder);

// The checkpoint of a golden of tools/golden (models.py, families.py), whole:
// `path` is what Model::Load takes.
void WriteGolden(const nlohmann::json& golden, const std::string& path);

void WriteFile(const std::string& path, const std::string& content);

}  // namespace clip::testing

#endif  // ZEROSHOT_TESTS_TESTING_CHECKPOINT_FILES_H_
