// The names of a model's tensors: whose they are, and what trainers put around
// them.
#ifndef ZEROSHOT_CLIP_CHECKPOINT_STATE_DICT_H_
#define ZEROSHOT_CLIP_CHECKPOINT_STATE_DICT_H_

#include <string>

#include "absl/status/status.h"
#include "clip/checkpoint/tensor_view.h"

namespace clip {

enum class Naming {
  kOpenAi,       // "visual.conv1.weight"; open_clip's too
  kHuggingFace,  // "vision_model.embeddings.patch_embedding.weight"
  kSiglip,       // the same, of transformers' SiglipModel
  // open_clip's, with an image tower of timm, "visual.trunk.", or a text tower
  // of Hugging Face, "text.transformer.embeddings.".
  kOpenClipFolder,
  kOther,
};

Naming NamingOf(const TensorMap& tensors);

// Takes off what is no part of a model's own names: "module." of
// DataParallel, "_orig_mod." of torch.compile, "model." and the like of a class
// around the model, and the "text." of open_clip's models with a text tower of
// its own kind, which also tells the writer. InvalidArgument: two tensors would
// have one name.
absl::Status CleanNames(TensorFile* file);

// What tensors are whose names belong to no CLIP model: "a LoRA adapter: ...",
// or the first name.
std::string KindOfModel(const TensorMap& tensors);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CHECKPOINT_STATE_DICT_H_
