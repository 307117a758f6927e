// What goes into and comes out of Client: plain values, so that a user need
// not know protobuf. The meaning of every field is the wire contract's
// (proto/zeroshot/v1/zeroshot.proto), which also says what is allowed.
//
// Thread rule: plain values.
#ifndef ZEROSHOT_CLIENT_TYPES_H_
#define ZEROSHOT_CLIENT_TYPES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace zeroshot::client {

// The `= {}` below let callers leave a field out without a warning.
struct ClassDefinition {
  std::string name;  // replaces every {} of the templates
  std::vector<std::string> prompts =
      {};  // complete; instead of templates x name
};

// What to build: exactly one of classes and class_set, at most one of
// templates and template_set (neither means the set "simple").
struct ClassifierSpec {
  std::vector<ClassDefinition> classes = {};
  std::string class_set = {};
  std::vector<std::string> templates = {};
  std::string template_set = {};
};

struct BuildProgress {
  int64_t prompts_done = 0;
  int64_t prompts_total = 0;
  int64_t num_tokens_encoded = 0;           // so far
  std::optional<absl::Duration> time_left;  // none until something is encoded
};

struct BuildTiming {
  absl::Duration queue, tokenize, encode, finish, total;
};

struct BuildResult {
  std::string weight_set_id;
  int num_classes = 0;
  int embedding_dim = 0;
  bool cached = false;  // was there already: nothing was encoded
  int64_t num_prompts = 0;
  int64_t num_tokens = 0;          // what the prompts hold
  int64_t num_tokens_encoded = 0;  // positions through the tower; 0 if cached
  std::vector<std::string> warnings;
  BuildTiming timing;
};

struct ClassifyOptions {
  int top_k = 5;  // more than there are classes means all of them
  bool return_probabilities = false;
};

struct Prediction {
  int class_index = 0;
  std::string class_name;
  float probability = 0;  // softmax over all classes of the weight set
  float logit = 0;
};

struct ClassifyTiming {
  absl::Duration decode, preprocess, queue, compute, total;
};

struct Answer {
  std::vector<Prediction> predictions;  // best first, never empty
  std::vector<float> probabilities;     // [classes], if asked for
  ClassifyTiming timing;
  bool embedding_cached = false;  // the server knew the picture's bytes
};

using Embedding = std::vector<float>;  // [embedding_dim], of length 1

struct WeightSetInfo {
  std::string weight_set_id;
  int num_classes = 0;
  int embedding_dim = 0;
  int64_t num_prompts = 0;
  std::string model_fingerprint;
  std::string precision;
  int64_t size_bytes = 0;
  absl::Time create_time;
};

struct WeightSet {
  WeightSetInfo info;
  std::vector<std::string> class_names;  // [info.num_classes]
};

// How a weight set stands in a file; the wire contract says what each means.
enum class WeightSetFormat { kSafetensors, kNpy };
enum class MatrixLayout { kUnspecified, kClassRows, kClassColumns };

struct ExportOptions {
  WeightSetFormat format = WeightSetFormat::kSafetensors;
  MatrixLayout layout = MatrixLayout::kUnspecified;
};

struct ImportOptions {
  std::vector<std::string> class_names = {};  // for a file that has none
  MatrixLayout layout = MatrixLayout::kUnspecified;
  std::string model_fingerprint = {};  // if known, and the file has none
};

struct ImportResult {
  WeightSetInfo info;
  bool cached = false;  // was there already
  std::vector<std::string> warnings;
};

struct Limits {
  int64_t max_image_bytes = 0;
  int64_t max_image_pixels = 0;
  int64_t max_classes = 0;
  int64_t max_templates = 0;
  int64_t max_prompts = 0;
  int64_t max_text_bytes = 0;
  int64_t max_batch_items = 0;
  int64_t max_inflight = 0;
  int64_t max_builds = 0;
  int64_t max_request_bytes = 0;
  int64_t max_weight_sets = 0;
  int64_t max_import_bytes = 0;
  int64_t max_top_k = 0;
  int64_t max_answer_bytes = 0;
};

struct ModelInfo {
  std::string name;
  std::string family;
  std::string fingerprint;
  std::string precision;
  std::string device;
  int embedding_dim = 0;
  int image_size = 0;
  int context_length = 0;
  int vocab_size = 0;
  float logit_scale = 0;
  Limits limits;
  std::vector<std::string> template_sets;
  std::vector<std::string> class_sets;
  std::string server_version;
  std::string activation;  // of the text tower: "quick_gelu", "gelu"
  bool is_demo = false;    // the demo model, which knows next to nothing
};

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_TYPES_H_
