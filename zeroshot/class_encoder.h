// Class vectors of a specification, encoding only what is not known yet.
//
// Per class, as in OpenAI's notebook (Prompt_Engineering_for_ImageNet.ipynb,
// zeroshot_classifier): unit rows of all prompts -> mean -> unit row; then
// mixed with its examples, if it has any (zeroshot/class_examples.h).
#ifndef ZEROSHOT_ZEROSHOT_CLASS_ENCODER_H_
#define ZEROSHOT_ZEROSHOT_CLASS_ENCODER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/steps.h"
#include "clip/model.h"
#include "zeroshot/class_examples.h"
#include "zeroshot/classifier_spec.h"
#include "zeroshot/vector_cache.h"

namespace zeroshot {

struct EncodedClasses {
  std::vector<float> weights;       // [C + B, D], unit rows
  int64_t num_tokens = 0;           // that the prompts hold
  int64_t num_tokens_encoded = 0;   // positions computed
  absl::Duration tokenize, encode;  // example images are encoded too
};

// Thread rule: every method may be called from many threads at once.
class ClassEncoder {
 public:
  // Borrows the model. Vectors may take `cache_bytes`.
  ClassEncoder(clip::Model* model, int64_t cache_bytes)
      : model_(model), cache_(cache_bytes) {}

  // `progress` is called between steps with how many example images and prompts
  // are done, known ones included, and may stop the call; what was encoded by
  // then stays known. `embed` gets the example images, a few at a time; where
  // it refuses them for the moment it is asked again.
  //
  // InvalidArgument: a prompt longer than the model's context, an example that
  // is no image, or vectors of a class that cancel each other out. Cancelled:
  // progress said stop. ResourceExhausted: memory. Internal: the tower made
  // NaN or infinite values of a prompt, which the message names.
  //
  // What is done is noted below `step`.
  absl::StatusOr<EncodedClasses> Encode(const ResolvedSpec& spec,
                                        const clip::TextProgress& progress,
                                        EmbedExamples embed,
                                        const base::ScopedStep& step);

  VectorCache::Stats cache_stats() { return cache_.stats(); }

 private:
  struct Batch;

  // For each row of the spec, the sum of its prompts' unit rows so far.
  using Sums = std::vector<double>;  // [C + B, D]

  // Of each row that has examples the sum of their unit rows.
  using ExampleSums = std::map<int, std::vector<double>>;  // [D] each

  absl::StatusOr<ExampleSums> EncodeExamples(const ResolvedSpec& spec,
                                             const clip::TextProgress& progress,
                                             EmbedExamples embed) const;
  // Class vectors of both.
  absl::Status Mix(const ResolvedSpec& spec, Sums* texts, ExampleSums* examples,
                   EncodedClasses* out) const;

  // Adds the prompts of a batch that are known and takes them out of it.
  void AddKnown(Batch* batch, Sums* sums);
  // Encodes and adds the rest. `done` prompts are done already.
  absl::Status EncodeUnknown(const ResolvedSpec& spec, const Batch& batch,
                             int64_t done, const clip::TextProgress& progress,
                             Sums* sums, EncodedClasses* out);

  clip::Model* const model_;
  VectorCache cache_;
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_CLASS_ENCODER_H_
