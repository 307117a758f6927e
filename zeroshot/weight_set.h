// A weight set: what BuildClassifier makes and Classify uses. It is data, one
// unit vector a class with labels and a content hash, not a model.
#ifndef ZEROSHOT_ZEROSHOT_WEIGHT_SET_H_
#define ZEROSHOT_ZEROSHOT_WEIGHT_SET_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace zeroshot {

// Immutable once built; shared as std::shared_ptr<const WeightSet>.
struct WeightSet {
  std::string id;                        // see ResolvedSpec::Id
  std::string model_fingerprint;         // of the model that encoded it
  std::string precision;                 // of its text tower
  std::vector<std::string> class_names;  // C names, in class order
  int embedding_dim = 0;                 // D
  std::vector<float> weights;            // [C, D], unit rows
  // The specification, named sets spelled out, from which it can be built
  // anew: templates, and the prompts of the classes that have their own.
  std::vector<std::string> templates;
  std::vector<std::vector<std::string>> own_prompts;  // [C]; or [0]: none has
  int64_t num_prompts = 0;
  int64_t num_tokens = 0;  // that the prompts hold, start and end included
  absl::Time create_time;

  int num_classes() const { return static_cast<int>(class_names.size()); }

  // Memory held, for stores that are bounded by bytes.
  int64_t SizeBytes() const;
};

// `count` zeros for WeightSet::weights. Scoring reads a set from end to end, a
// large one at the speed of memory: in huge pages, where the system gives them
// to who asks (Linux: "madvise" or "always"), nearly twice as fast.
std::vector<float> MakeWeights(size_t count);

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_WEIGHT_SET_H_
