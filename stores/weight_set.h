// A weight set: what BuildClassifier makes and Classify uses. It is data, one
// unit vector a class with labels and a content hash, not a model.
#ifndef ZEROSHOT_STORES_WEIGHT_SET_H_
#define ZEROSHOT_STORES_WEIGHT_SET_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace stores {

// Immutable once built; shared as std::shared_ptr<const WeightSet>.
struct WeightSet {
  std::string id;                        // ResolvedSpec::Id, or imported
  std::string model_fingerprint;         // of the model that encoded it
  std::string precision;                 // of its text tower
  std::vector<std::string> class_names;  // C names, in class order
  int embedding_dim = 0;                 // D
  std::vector<float> weights;            // [C, D], unit rows
  // What it was built from, named sets spelled out: templates, and the prompts
  // of the classes that have their own. An imported set has neither.
  std::vector<std::string> templates;
  std::vector<std::vector<std::string>> own_prompts;  // [C]; or [0]: none has
  int64_t num_prompts = 0;
  int64_t num_tokens = 0;  // that the prompts hold, start and end included
  absl::Time create_time;

  int num_classes() const { return static_cast<int>(class_names.size()); }

  // Memory held, for stores that are bounded by bytes.
  int64_t SizeBytes() const;
};

// What a list shows of a set: nothing that grows with it.
struct WeightSetSummary {
  std::string id;
  std::string model_fingerprint;
  std::string precision;
  int num_classes = 0;
  int embedding_dim = 0;
  int64_t num_prompts = 0;
  absl::Time create_time;
};
WeightSetSummary SummaryOf(const WeightSet& set);

// FailedPrecondition: another model than `fingerprint`'s encoded the set.
absl::Status CheckModel(const WeightSet& set, absl::string_view fingerprint);

// How ids of imported sets begin (zeroshot/weight_set_file.h). They have no
// prompts, so that they cannot be built again.
inline constexpr absl::string_view kImportedPrefix = "imported-";

inline bool IsImported(absl::string_view id) {
  return absl::StartsWith(id, kImportedPrefix);
}

// The status every store gives for an unknown id.
absl::Status WeightSetNotFound(absl::string_view id);

// `count` zeros for WeightSet::weights. Scoring reads a set from end to end, a
// large one at the speed of memory: in huge pages, where the system gives them
// to who asks (Linux: "madvise" or "always"), nearly twice as fast.
std::vector<float> MakeWeights(size_t count);

}  // namespace stores

#endif  // ZEROSHOT_STORES_WEIGHT_SET_H_
