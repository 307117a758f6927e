// The checkpoint formats, one source file each, and what they share.
#ifndef ZEROSHOT_CLIP_CHECKPOINT_FORMATS_H_
#define ZEROSHOT_CLIP_CHECKPOINT_FORMATS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "clip/checkpoint/checkpoint.h"
#include "clip/text/clean_text.h"

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
// a Hugging Face folder, if they are there; else `all` keeps what it has.
// `family`: whose classes compute what we do, "CLIP", "Siglip" or
// "Siglip2".
absl::Status ReadPreprocessingFiles(const std::string& folder,
                                    const std::string& family,
                                    Architecture* all);
// tokenizer_files.cc: InvalidArgument if the files of a Hugging Face folder
// say that the model has another tokenizer than CLIP's.
absl::Status CheckTokenizerFiles(const std::string& folder);

// subword_files.cc: the tokenizer of a folder that brings its own, as
// transformers' AutoTokenizer makes it, behind `cleaning`; how it pads goes
// into `checkpoint->architecture`. `fallback` is the class where no file says
// it; `always`: whatever the files say.
struct TokenizerClass {
  std::string name = "";
  bool always = false;
  bool strip_sep = false;   // the token 0 stands where the separator does
  std::string origin = "";  // the repository that it comes from, if known
};
absl::Status ReadTokenizerFiles(const std::string& folder,
                                const TokenizerClass& fallback,
                                TextCleaning cleaning, Checkpoint* checkpoint);

// Where a required tensor comes from in a file; see Weight.
struct WeightSource {
  std::vector<std::string> parts;  // "": zeros, which the file leaves out
  bool transposed = false;
  std::vector<int> shares = {};  // of each part in the rows; empty: equal
  // Not -1: the rows from this one on, of a tensor in one part that may have
  // more.
  int first_row = -1;
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
