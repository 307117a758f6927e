// What a server said of one image, and how programs read it.
#ifndef ZEROSHOT_CLIENT_CLI_ANSWERS_H_
#define ZEROSHOT_CLIENT_CLI_ANSWERS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/types.h"

namespace zeroshot::client {

// An answer a weight set, in the order of the ids.
struct Answers {
  std::vector<std::string> ids;
  std::vector<Answer> answers;
};

// A line of JSON: {"file", "weight_set_id", "predictions", ...}, or {"file",
// "error"}.
std::string ToJson(const std::string& file,
                   const absl::StatusOr<Answers>& answers);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_ANSWERS_H_
