// The vision transformers of timm that open_clip's models have as image towers:
// what their names say of them, and how timm names their tensors. Sizes are the
// tensors'.
#ifndef ZEROSHOT_CLIP_CHECKPOINT_TIMM_VITS_H_
#define ZEROSHOT_CLIP_CHECKPOINT_TIMM_VITS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "clip/checkpoint/architecture.h"
#include "clip/checkpoint/formats.h"
#include "clip/checkpoint/tensor_view.h"

namespace clip {

// What vision_cfg says beside the name.
struct TimmConfig {
  std::string name;        // timm_model_name
  std::string pool;        // timm_pool
  std::string projection;  // timm_proj; "": the trunk's own head
  bool projection_bias = false;
};

// A tower, and how its file has what is one tensor here.
struct TimmVit {
  VitShape shape;
  bool key_bias = true;    // of the blocks' attention; else zeros
  bool split_qkv = false;  // query, key and value are tensors of their own
  std::string projection;  // where its last layer is: "visual.head.proj."
};

// Whether the name is in our table.
bool IsTimmVit(absl::string_view name);

// The tower, all of it. InvalidArgument: a tensor that tells a size is missing,
// or a pool or projection is not supported. REQUIRES: IsTimmVit.
absl::StatusOr<TimmVit> ReadTimmVit(const TimmConfig& config,
                                    const TensorMap& tensors);

// Where the tensors of "visual." are.
WeightSource TimmName(const TimmVit& vit, const std::string& required);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CHECKPOINT_TIMM_VITS_H_
