// Prompts per class in JSON: {"frog": ["a green animal that jumps", ...], ...},
// as CuPL and CLIP_benchmark write them. The classes keep the file's order.
// Thread rule: a free function without state.
#ifndef ZEROSHOT_CLIENT_CLI_PROMPTS_FILE_H_
#define ZEROSHOT_CLIENT_CLI_PROMPTS_FILE_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/types.h"

namespace zeroshot::client {

// InvalidArgument: not such an object, or a class without prompts; the message
// says what was found, in which line. REQUIRES: the text is UTF-8.
absl::StatusOr<std::vector<ClassDefinition>> ParsePrompts(
    absl::string_view json);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_PROMPTS_FILE_H_
