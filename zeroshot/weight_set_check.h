// Checks that a weight set must pass before the server answers with it,
// wherever it comes from: a file, a folder or a Redis that others write to. A
// checksum says that bytes are those that were written, not who wrote them.
#ifndef ZEROSHOT_ZEROSHOT_WEIGHT_SET_CHECK_H_
#define ZEROSHOT_ZEROSHOT_WEIGHT_SET_CHECK_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "clip/model.h"
#include "stores/weight_set.h"
#include "zeroshot/classifier_spec.h"

namespace zeroshot {

// InvalidArgument: a row is not finite, or its length is not 1 within 0.005;
// the message names the class.
absl::Status CheckUnitRows(const stores::WeightSet& set);

// The id of an imported set: `imported-` and a SHA-256 of model, class names,
// vectors and, if it has any, of background and what it decides with.
std::string ImportedId(const stores::WeightSet& set);

// What was asked for when the set was built.
ClassifierSpec SpecOf(const stores::WeightSet& header);

// Checks a set, or the header of one (it has no weights), that comes from below
// memory for a server with `model`. DataLoss: it is of this model and has
// another dimension, other than one row per class, a row that is not finite or
// not of length 1, names, thresholds or a temperature that no build takes, or
// an id that is not the hash of its content. A set of another model is not
// checked, because this server does not answer with it.
//
// It cannot tell whether the rows of a set that was built are those
// that the model makes of its prompts. Whoever may write to the folder or the
// Redis may choose them.
absl::Status CheckStored(const stores::WeightSet& set,
                         const clip::ModelInfo& model);

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_WEIGHT_SET_CHECK_H_
