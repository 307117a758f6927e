// From the cosines of an embedding and all classes to an answer:
//   logit = scale x cosine + bias
//   softmax: probability = exp(logit / temperature) over the sum of all
//   classes'
//     and background's, as in openai/CLIP's README ("Zero-Shot Prediction")
//   sigmoid: probability = 1 / (1 + exp(-logit / temperature))
// Background classes have no name in the answer: their probabilities' sum
// (softmax) or the largest of them (sigmoid) is other_probability, as a group's
// is of its classes.
#ifndef ZEROSHOT_ZEROSHOT_SCORES_H_
#define ZEROSHOT_ZEROSHOT_SCORES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "clip/model.h"
#include "stores/weight_set.h"

namespace zeroshot {

struct Prediction {
  int class_index = 0;
  std::string class_name;
  float probability = 0;  // by the score function in use
  float logit = 0;        // before temperature
  float cosine = 0;
  bool accepted = true;  // the probability meets the class's threshold, else
                         // the call's, else there is none
};

struct GroupScore {
  std::string group;
  float probability = 0;
};

// What one weight set makes of an image.
struct Scores {
  std::vector<Prediction> predictions;  // best first; ties by class index
  std::vector<float> probabilities;     // [C] in class order, if asked for
  std::vector<GroupScore> groups;       // all of the set's, best first
  float other_probability = 0;          // of the background
};

struct ScoreOptions {
  clip::Head head;
  int top_k = 5;  // more than C means C
  bool return_probabilities = false;
  std::optional<float> min_probability = {};  // of classes without their own
};

// The answer to cosines [C + B]. REQUIRES: at least one class. Internal: a
// logit is NaN or infinite.
absl::StatusOr<Scores> ScoresOf(const stores::WeightSet& set,
                                absl::Span<const float> cosines,
                                const ScoreOptions& options);

// Bytes on the wire that the scores of a set have at most.
int64_t AnswerBytes(const stores::WeightSet& set, int top_k,
                    bool return_probabilities);

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_SCORES_H_
