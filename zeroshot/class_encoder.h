// Class vectors of a specification, encoding only what is not known yet.
//
// Per class, as in OpenAI's notebook (Prompt_Engineering_for_ImageNet.ipynb,
// zeroshot_classifier): unit rows of all prompts -> mean -> unit row.
#ifndef ZEROSHOT_ZEROSHOT_CLASS_ENCODER_H_
#define ZEROSHOT_ZEROSHOT_CLASS_ENCODER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "clip/model.h"
#include "clip/tokenizer.h"
#include "zeroshot/classifier_spec.h"
#include "zeroshot/vector_cache.h"

namespace zeroshot {

struct EncodedClasses {
  std::vector<float> weights;      // [C, D], unit rows
  int64_t num_tokens = 0;          // that the prompts hold
  int64_t num_tokens_encoded = 0;  // positions computed
  absl::Duration tokenize, encode;
};

// Thread rule: every method may be called from many threads at once.
class ClassEncoder {
 public:
  // Borrows model and tokenizer. Vectors may take `cache_bytes`.
  ClassEncoder(clip::Model* model, const clip::Tokenizer* tokenizer,
               int64_t cache_bytes)
      : model_(model), tokenizer_(tokenizer), cache_(cache_bytes) {}

  // `progress` is called between steps with how many prompts are done, known
  // ones included, and may stop the call; what was encoded by then stays
  // known.
  //
  // InvalidArgument: a prompt longer than the model's context. Cancelled:
  // progress said stop. ResourceExhausted: memory. Internal: the tower made
  // NaN or infinite values of a prompt, which the message names.
  absl::StatusOr<EncodedClasses> Encode(const ResolvedSpec& spec,
                                        const clip::TextProgress& progress);

  VectorCache::Stats cache_stats() { return cache_.stats(); }

 private:
  struct Batch;

  // Of each class the sum of its prompts' unit rows so far.
  using Sums = std::vector<double>;  // [C, D]

  // Adds the prompts of a batch that are known and takes them out of it.
  void AddKnown(Batch* batch, Sums* sums);
  // Encodes and adds the rest. `done` prompts are done already.
  absl::Status EncodeUnknown(const ResolvedSpec& spec, const Batch& batch,
                             int64_t done, const clip::TextProgress& progress,
                             Sums* sums, EncodedClasses* out);

  clip::Model* const model_;
  const clip::Tokenizer* const tokenizer_;
  VectorCache cache_;
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_CLASS_ENCODER_H_
