// POST /v1/embeddings: the shape of OpenAI's API, and of vLLM's where there are
// images.
#ifndef ZEROSHOT_SERVER_HTTP_EMBEDDINGS_H_
#define ZEROSHOT_SERVER_HTTP_EMBEDDINGS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace zeroshot::server::http {

struct EmbeddingsRequest {
  struct Input {
    bool is_image = false;
    std::string content;  // a text, or an image's bytes
    std::string name;     // "input[2]", for messages
  };
  std::string model;  // empty: not said
  std::vector<Input> inputs;
  bool base64 = false;
  int dimensions = 0;  // 0: not said
};

// InvalidArgument: no such request, or more than `most_inputs`.
absl::StatusOr<EmbeddingsRequest> ParseEmbeddings(absl::string_view json,
                                                  int most_inputs);

// The answer: one vector of `dim` floats an input, one after the other.
std::string EmbeddingsJson(absl::string_view model, bool base64, int dim,
                           absl::Span<const float> vectors);

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_EMBEDDINGS_H_
