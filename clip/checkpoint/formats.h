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

constexpr char kHuggingFaceConfig[] = "config.json";
constexpr char kOpenClipConfig[] = "open_clip_config.json";

// What a format needs of a checkpoint: a folder with a configuration, and the
// tensors, which are read only when the configuration was found to be good.
struct CheckpointSource {
  std::string folder;
  std::function<absl::StatusOr<TensorFile>()> read_weights;
};

// bare_format.cc: weights without a configuration. The architecture follows
// from the shapes of the tensors. `activation` is ReadCheckpoint's.
absl::StatusOr<Checkpoint> ReadBare(TensorFile file,
                                    const std::string& activation);
// hugging_face_format.cc: config.json says the architecture.
absl::StatusOr<Checkpoint> ReadHuggingFace(const CheckpointSource& source);
// open_clip_format.cc: open_clip_config.json says it; OpenAI's tensor names.
absl::StatusOr<Checkpoint> ReadOpenClip(const CheckpointSource& source);

// preprocessing_files.cc: preprocessor_config.json and processor_config.json of
// a Hugging Face folder, if they are there.
absl::Status ReadPreprocessingFiles(const std::string& folder,
                                    Architecture* all);
// tokenizer_files.cc: InvalidArgument if the files of a Hugging Face folder
// say that the model has another tokenizer than CLIP's.
absl::Status CheckTokenizerFiles(const std::string& folder);

// Where a required tensor comes from in a file; see Weight.
struct WeightSource {
  std::vector<std::string> parts;
  bool transposed = false;
};
using WeightNaming = std::function<WeightSource(const std::string& required)>;

// Same names, nothing transposed: OpenAI and open_clip.
WeightSource SameName(const std::string& required);
// Of transformers; hugging_face_format.cc.
WeightSource HuggingFaceName(const std::string& required);

// Checks the architecture and moves the tensors it requires from `file` to
// `checkpoint->weights`. A tensor that is missing, of another shape or dtype,
// or left over is an error that names it as the file does; buffers that hold
// no weights ("position_ids", "num_batches_tracked", ...) may be left over.
absl::Status TakeWeights(TensorFile file, const WeightNaming& naming,
                         Checkpoint* checkpoint);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CHECKPOINT_FORMATS_H_
