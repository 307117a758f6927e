// What a weight set must be before it answers anyone: whoever brought it, a
// file, a folder or a Redis that others write to. A checksum says that bytes
// are those that were written, not who wrote them.
//
// Thread rule: free functions without state; call them from any thread.
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

// The id of an imported set: `imported-` and a SHA-256 of model, class names
// and vectors.
std::string ImportedId(const stores::WeightSet& set);

// What was asked for when the set was built.
ClassifierSpec SpecOf(const stores::WeightSet& header);

// Checks a set, or the header of one (it has no weights), that comes from below
// memory for a server with `model`. DataLoss: it is of this model and has
// another dimension, other than one row a class, a row that is not finite or
// not of length 1, or an id that is not the hash of what is in it. A set of
// another model is not looked at: it answers nothing here.
//
// What this cannot tell: whether the rows of a set that was built are those
// that the model makes of its prompts. Who may write to the folder or the Redis
// may choose them.
absl::Status CheckStored(const stores::WeightSet& set,
                         const clip::ModelInfo& model);

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_WEIGHT_SET_CHECK_H_
