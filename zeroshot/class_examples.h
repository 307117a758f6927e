// Classes shown by examples: images, or embeddings that were made before. A
// class's vector is then a mix of what its prompts say and what they show:
//
//   unit((1 - weight) x unit(text) + weight x unit(mean of unit examples))
//
// Thread rule: plain values and free functions.
#ifndef ZEROSHOT_ZEROSHOT_CLASS_EXAMPLES_H_
#define ZEROSHOT_ZEROSHOT_CLASS_EXAMPLES_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "stores/weight_set.h"
#include "zeroshot/embedder.h"

namespace zeroshot {

// The examples' share where none is asked for.
inline constexpr float kExampleWeight = 0.5f;

// As asked. Borrows all of them.
struct Examples {
  std::vector<absl::string_view> images = {};  // encoded
  absl::Span<const float> embeddings = {};     // [n, D], of any length but 0
  std::optional<float> weight = {};            // over 0 to 1

  bool given() const {
    return !images.empty() || !embeddings.empty() || weight.has_value();
  }
};

// What is kept of examples, hashed by their content: the images' bytes, the
// embeddings' floats. `field` is their class's, such as "classes[3]", and `dim`
// the model's D. REQUIRES: some are given.
//
// InvalidArgument: a weight that is not over 0 to 1, or without examples,
// embeddings that are no multiple of `dim` floats, or one that is not finite or
// zero.
absl::StatusOr<stores::ClassExamples> Summarise(absl::string_view field,
                                                const Examples& examples,
                                                int dim);

// InvalidArgument: not over 0 to 1.
absl::Status CheckExampleWeight(absl::string_view field, float weight);

// Encodes images, one status each (zeroshot/embedder.h). An error that has a
// retry delay (zeroshot/admission.h) refuses them for the moment.
using EmbedExamples = absl::FunctionRef<absl::StatusOr<Embeddings>(
    absl::Span<const absl::string_view> images)>;

// Adds each vector of `rows` [n, D], brought to length 1, to `sum` [D].
void AddUnitRows(absl::Span<const float> rows, absl::Span<double> sum);

// Brings `sum` [D] to length 1; zeros stay zeros. False: it is zeros.
bool MakeUnit(absl::Span<double> sum);

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_CLASS_EXAMPLES_H_
