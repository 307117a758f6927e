// A CLIP checkpoint of any supported format, read and checked: architecture and
// weights under one set of names. No LibTorch here: the bytes stay where the
// file is mapped until a tower copies them.
#ifndef ZEROSHOT_CLIP_CHECKPOINT_CHECKPOINT_H_
#define ZEROSHOT_CLIP_CHECKPOINT_CHECKPOINT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "clip/checkpoint/architecture.h"
#include "clip/checkpoint/tensor_view.h"
#include "clip/clip_tokenizer.h"
#include "clip/tokenizer.h"

namespace clip {

// One tensor of RequiredTensors, as the file has it: float32, float16 or
// bfloat16, in one part or several to be put one below the other (Hugging Face
// has a tensor for each of query, key and value), or a transposed matrix. A
// part without bytes is zeros.
struct Weight {
  std::vector<int64_t> shape;     // as required, after joining and transposing
  std::vector<TensorView> parts;  // each as it lies in the file
  std::vector<std::string> part_names;  // as the file has them
  bool transposed = false;              // only of a matrix in one part
};

struct Checkpoint {
  std::string name;      // the folder's or file's name
  bool is_demo = false;  // as open_clip's configuration says: zeroshot.demo
  // What was taken for granted because no file says it, for the log.
  std::vector<std::string> warnings;
  Architecture architecture;
  std::shared_ptr<const Tokenizer> tokenizer = SharedClipTokenizer();
  std::map<std::string, Weight, std::less<>> weights;  // RequiredTensors, all
  std::vector<std::shared_ptr<const void>> owners;     // of the weights' bytes
};

// Reads a file of weights, or a Hugging Face or open_clip folder; see
// Model::Load for what they are. A file whose folder has the configuration for
// its names of tensors is read with it. `activation` is ModelOptions' own.
//
// NotFound: nothing at `path`. InvalidArgument: damaged or unsupported, or
// `activation` is asked for or contradicted; the message names the file and the
// tensor or key, what was found and what was expected.
absl::StatusOr<Checkpoint> ReadCheckpoint(
    const std::string& path, const std::string& activation = "auto");

// InvalidArgument: the text tower has other tokens than its tokenizer.
absl::Status CheckVocabulary(const Checkpoint& checkpoint);

// InvalidArgument: a weight holds NaN or infinite values; the message names the
// tensor as the file does. Reads every byte of the weights.
absl::Status CheckFinite(const Checkpoint& checkpoint);

// The ids, sorted, of tokens whose embedding is all zeros.
std::vector<int32_t> UnseenTokens(const Checkpoint& checkpoint);

// SHA-256 in hex of all that determines the numbers: weights as stored,
// architecture, preprocessing, tokenizer. Reads every byte of the weights.
std::string Fingerprint(const Checkpoint& checkpoint);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CHECKPOINT_CHECKPOINT_H_
