// A weight set: what BuildClassifier makes and Classify uses. It is data, one
// unit vector per class with labels and a content hash, not a model.
#ifndef ZEROSHOT_STORES_WEIGHT_SET_H_
#define ZEROSHOT_STORES_WEIGHT_SET_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace stores {

// What is kept of the examples that a class's vector was mixed with: they
// themselves are not.
struct ClassExamples {
  std::string sha256;  // in hex, of all of them (zeroshot/class_examples.h)
  int32_t count = 0;   // images and embeddings
  float weight = 0;    // their share in the vector, over 0 to 1

  bool operator==(const ClassExamples&) const = default;
};

// Immutable once built; shared as std::shared_ptr<const WeightSet>.
struct WeightSet {
  std::string id;                        // ResolvedSpec::Id, or imported
  std::string model_fingerprint;         // of the model that encoded it
  std::string precision;                 // of its text tower
  std::vector<std::string> class_names;  // C names, in class order
  // B names of classes that stand for "none of these": never returned by name.
  std::vector<std::string> background;
  int embedding_dim = 0;       // D
  std::vector<float> weights;  // [C + B, D], unit rows; background last
  // What an answer is decided with: logits are divided by the temperature, a
  // class's probability is accepted from its threshold on, and classes of one
  // group are scored together as well.
  float temperature = 1;
  std::vector<std::optional<float>> min_probabilities;  // [C]; or [0]: none has
  std::vector<std::string> group_names;                 // G
  std::vector<int32_t> group_of;  // [C], -1: of none; or [0]: all are
  // What it was built from, named sets spelled out: templates, and the prompts
  // of the classes that have their own. An imported set has neither.
  std::vector<std::string> templates;
  std::vector<std::vector<std::string>> own_prompts;   // [C]; or [0]: none has
  std::vector<std::optional<ClassExamples>> examples;  // [C]; or [0]: none has
  int64_t num_prompts = 0;
  int64_t num_tokens = 0;  // that the prompts hold, start and end included
  absl::Time create_time;

  int num_classes() const { return static_cast<int>(class_names.size()); }
  int num_background() const { return static_cast<int>(background.size()); }
  // Vectors: of the classes, then of the background.
  int num_rows() const { return num_classes() + num_background(); }
  const std::string& row_name(int row) const {
    return row < num_classes() ? class_names[row]
                               : background[row - num_classes()];
  }
  // "" if class c is of no group.
  absl::string_view group(int c) const {
    return group_of.empty() || group_of[c] < 0
               ? absl::string_view()
               : absl::string_view(group_names[group_of[c]]);
  }
  // Examples over all classes.
  int64_t num_examples() const;
  // Groups the classes: one name per class, "" for none.
  void SetGroups(const std::vector<std::string>& groups);

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
  int num_background = 0;
  float temperature = 1;
  std::vector<std::string> first_class_names;  // up to 5, cut at 64 bytes
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
// when asked (Linux: "madvise" or "always"), nearly twice as fast.
std::vector<float> MakeWeights(size_t count);

}  // namespace stores

#endif  // ZEROSHOT_STORES_WEIGHT_SET_H_
