// The checkpoint formats, one source file each, and what they share.
#ifndef ZEROSHOT_CLIP_CHECKPOINT_FORMATS_H_
#define ZEROSHOT_CLIP_CHECKPOINT_FORMATS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "clip/checkpoint/checkpoint.h"

namespace clip {

// openai_format.cc: the architecture follows from the tensors' shapes.
absl::StatusOr<Checkpoint> ReadOpenAi(const std::string& file);
// hugging_face_format.cc: config.json says the architecture.
absl::StatusOr<Checkpoint> ReadHuggingFace(const std::string& folder);
// open_clip_format.cc: open_clip_config.json says it; OpenAI's tensor names.
absl::StatusOr<Checkpoint> ReadOpenClip(const std::string& folder);

// Where a required tensor comes from in a file; see Weight.
struct WeightSource {
  std::vector<std::string> parts;
  bool transposed = false;
};
using WeightNaming = std::function<WeightSource(const std::string& required)>;

// Same names, nothing transposed: OpenAI and open_clip.
WeightSource SameName(const std::string& required);

// Checks the architecture and moves the tensors it requires from `file` to
// `checkpoint->weights`. A tensor that is missing, of another shape or dtype,
// or left over is an error that names it as the file does; buffers that hold
// no weights ("position_ids", "num_batches_tracked", ...) may be left over.
absl::Status TakeWeights(TensorFile file, const WeightNaming& naming,
                         Checkpoint* checkpoint);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CHECKPOINT_FORMATS_H_
