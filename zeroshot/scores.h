// From the cosines of an embedding and all classes to an answer:
//   logit = logit scale x cosine, then softmax over the classes
// as in openai/CLIP's README ("Zero-Shot Prediction").
// Thread rule: plain values and free functions.
#ifndef ZEROSHOT_ZEROSHOT_SCORES_H_
#define ZEROSHOT_ZEROSHOT_SCORES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "stores/weight_set.h"

namespace zeroshot {

struct Prediction {
  int class_index = 0;
  std::string class_name;
  float probability = 0;
  float logit = 0;
};

// What one weight set makes of a picture.
struct Scores {
  std::vector<Prediction> predictions;  // best first; ties by class index
  std::vector<float> probabilities;     // [C] in class order, if asked for
};

struct ScoreOptions {
  float logit_scale = 0;
  int top_k = 5;  // more than C means C
  bool return_probabilities = false;
};

// The answer to cosines [C]. REQUIRES: at least one class. Internal: a logit is
// NaN or infinite.
absl::StatusOr<Scores> ScoresOf(const stores::WeightSet& set,
                                absl::Span<const float> cosines,
                                const ScoreOptions& options);

// Bytes on the wire that the scores of a set have at most.
int64_t AnswerBytes(const stores::WeightSet& set, int top_k,
                    bool return_probabilities);

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_SCORES_H_
