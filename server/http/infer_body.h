// Bodies of POST /v2/models/{model}/infer and of its answers: the JSON of the
// inference protocol, and tensors as binary data behind it, <-> messages of
// proto/inference.
//
// Thread rule: free functions without state.
#ifndef ZEROSHOT_SERVER_HTTP_INFER_BODY_H_
#define ZEROSHOT_SERVER_HTTP_INFER_BODY_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "inference/inference.pb.h"
#include "server/http/json_message.h"
#include "server/http/message.h"

namespace zeroshot::server::http {

// How many bytes of the body are JSON; the rest is binary data.
inline constexpr char kInferenceHeader[] = "Inference-Header-Content-Length";

// What a body asks for. Thread rule: a plain value.
struct InferForm {
  inference::ModelInferRequest request;  // without its raw_input_contents
  std::vector<std::string> raw;          // those, one an input
  bool binary_output = false;            // outputs come as binary data ...
  std::map<std::string, bool> binary;    // ... but for these, which say so

  bool IsBinary(const std::string& output) const;
};

// Reads a body: its JSON, and the binary data behind it. Images in JSON are
// base64 or data URIs. `most_items` as for JsonMessageReader.
// InvalidArgument: no JSON, an unknown key, a value of another kind, sizes that
// do not add up to the binary data.
absl::StatusOr<InferForm> ParseInfer(absl::string_view json, std::string binary,
                                     const MostItems& most_items);

// The answer in the form that was asked for. Internal: it is damaged.
absl::StatusOr<Response> InferAnswer(const InferForm& form,
                                     inference::ModelInferResponse* answer);

// Appends "KEY": "TEXT".
void AppendText(absl::string_view key, absl::string_view text,
                std::string* out);

// Appends [DIMENSION, ...].
template <typename Shape>
void AppendShape(const Shape& shape, std::string* out) {
  out->push_back('[');
  for (int i = 0; i < shape.size(); ++i) {
    absl::StrAppend(out, i > 0 ? ", " : "", shape[i]);
  }
  out->push_back(']');
}

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_INFER_BODY_H_
