// What goes into and comes out of Client. Requests, and the answers for images,
// are plain values. Other answers are the messages of the wire contract. The
// contract (proto/zeroshot/v1/zeroshot.proto) says what every field means and
// what is allowed.
#ifndef ZEROSHOT_CLIENT_TYPES_H_
#define ZEROSHOT_CLIENT_TYPES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::client {

// The `= {}` below let callers leave a field out without a warning.
struct ClassDefinition {
  std::string name;  // replaces every {} of the templates
  std::vector<std::string> prompts =
      {};  // complete; instead of templates x name
  // A prediction is accepted from this probability on; wins over
  // ClassifyOptions'.
  std::optional<float> min_probability = {};
  std::string group = {};  // empty: none
  // What shows the class, mixed with what its prompts say: encoded images, and
  // embeddings as EmbedImages gives them, one after the other.
  std::vector<std::string> example_images = {};
  std::vector<float> example_embeddings = {};  // [n, embedding_dim]
  // The examples' share, over 0 to 1; at 1 the class has no prompts. None: 0.5.
  std::optional<float> example_weight = {};
};

// What to build: exactly one of classes and class_set, at most one of
// templates and template_set (neither means the set "simple").
struct ClassifierSpec {
  std::vector<ClassDefinition> classes = {};
  std::string class_set = {};
  std::vector<std::string> templates = {};
  std::string template_set = {};
  std::optional<float> temperature = {};     // divides logits; none: 1
  std::vector<std::string> background = {};  // names of what is no class
  // For people: given to the weight set, whose id it does not change.
  std::string display_name = {};
};

using BuildProgress = v1::BuildProgress;
using BuildResult = v1::BuildClassifierResponse;
using WeightSetInfo = v1::WeightSetInfo;
// All pages of it.
using WeightSet = v1::GetWeightSetResponse;
using ImportResult = v1::ImportWeightSetResponse;
// A list that the server knows by name, for ClassifierSpec::template_set.
using TemplateSet = v1::TemplateSet;
// A list that the server knows by name, for ClassifierSpec::class_set.
using ClassSet = v1::ClassSet;
using ModelInfo = v1::GetModelResponse;
using Limits = v1::Limits;
using ScoreFunction = v1::ScoreFunction;
using WeightSetFormat = v1::WeightSetFormat;
using MatrixLayout = v1::MatrixLayout;

// The messages' times as absl's.
absl::Duration ToDuration(const google::protobuf::Duration& duration);
absl::Time ToTime(const google::protobuf::Timestamp& time);

struct ClassifyOptions {
  int top_k = 5;  // more than there are classes means all of them
  bool return_probabilities = false;
  // Unspecified: the model's.
  ScoreFunction score_function = v1::SCORE_FUNCTION_UNSPECIFIED;
  // Classes without a threshold of their own are accepted from this probability
  // on; none: all are.
  std::optional<float> min_probability = {};
};

struct Prediction {
  int class_index = 0;
  std::string class_name;
  float probability = 0;  // by the score function in use
  float logit = 0;        // scale x cosine + bias
  float cosine = 0;
  bool accepted = true;  // the probability meets the threshold, if there is one
};

struct GroupScore {
  std::string group;
  float probability = 0;
};

struct ClassifyTiming {
  absl::Duration decode, preprocess, queue, compute, total;
};

struct Answer {
  std::vector<Prediction> predictions;  // best first, never empty
  std::vector<float> probabilities;     // [classes], if asked for
  std::vector<GroupScore> groups;       // all of the weight set's, best first
  float other_probability = 0;  // of its background: none of the classes
  ClassifyTiming timing;
  bool embedding_cached = false;  // the server knew the image's bytes
  std::string weight_set_id;      // whose classes these are
  // Of a call that brought its classifier; `warnings` only if it was built now.
  std::optional<BuildResult> build = {};
};

// One item per image, in their order; a bad image fails alone.
struct BatchAnswer {
  std::vector<absl::StatusOr<Answer>> items;
  std::string weight_set_id;
  std::optional<BuildResult> build = {};  // as in Answer, whose own is empty
};

using Embedding = std::vector<float>;  // [embedding_dim], of length 1

struct ExportOptions {
  WeightSetFormat format = v1::WEIGHT_SET_FORMAT_SAFETENSORS;
  MatrixLayout layout = v1::MATRIX_LAYOUT_UNSPECIFIED;
};

struct ImportOptions {
  std::vector<std::string> class_names = {};  // for a file that has none
  MatrixLayout layout = v1::MATRIX_LAYOUT_UNSPECIFIED;
  std::string model_fingerprint = {};  // if known, and the file has none
  std::string display_name = {};       // for people
};

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_TYPES_H_
