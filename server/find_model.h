// Where a checkpoint is.
#ifndef ZEROSHOT_SERVER_FIND_MODEL_H_
#define ZEROSHOT_SERVER_FIND_MODEL_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace zeroshot::server {

// The checkpoint that `model` means: a path as it is, or the name of one in
// the folder `models` beside an installed program, above it in a build tree,
// or in the source tree. NotFound: there is none.
absl::StatusOr<std::string> FindModel(absl::string_view model);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_FIND_MODEL_H_
