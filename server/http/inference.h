// The routes below /v2, which are the inference protocol's: what their requests
// become and how they are answered. (Bodies: server/http/infer_body.h.)
// Thread rule: free functions without state; see server/http/rpc_exchange.h.
#ifndef ZEROSHOT_SERVER_HTTP_INFERENCE_H_
#define ZEROSHOT_SERVER_HTTP_INFERENCE_H_

#include <google/protobuf/message.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/http/message.h"
#include "server/http/rpc_exchange.h"

namespace zeroshot::server::http {

// Of the JSON before binary data: names and shapes.
inline constexpr int64_t kMaxInferenceHeader = 64 << 10;

// GET /v2/health/live and /v2/health/ready: {"live": true}.
Response InferenceHealth(absl::string_view what, const absl::Status& status);
// Answers of messages that a call has answered with. Not ready is an error: 404
// if there is no such model, else 503.
Response ModelReadyAnswer(const Request& request, const std::string& model,
                          const absl::Status& server_ready,
                          const google::protobuf::Message& answer);
Response ModelConfigAnswer(const google::protobuf::Message& answer);
Response RepositoryIndexAnswer(const google::protobuf::Message& answer);

// POST /v2/models/{model}/infer.
std::shared_ptr<RpcExchange> MakeInfer(Api* api, const Request& request,
                                       Origin origin,
                                       std::shared_ptr<Responder> responder,
                                       std::string model, std::string version);

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_INFERENCE_H_
