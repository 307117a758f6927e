// absl::Status -> HTTP: the code, and the body that programs and people read.
#ifndef ZEROSHOT_SERVER_HTTP_ERRORS_H_
#define ZEROSHOT_SERVER_HTTP_ERRORS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/http/message.h"

namespace zeroshot::server::http {

// Reasons that only HTTP has; the others are those of base/error_info.h and
// server/inference/models.h.
inline constexpr char kBodyTooLarge[] = "BODY_TOO_LARGE";
inline constexpr char kContentTypeNotSupported[] = "CONTENT_TYPE_NOT_SUPPORTED";
inline constexpr char kHeadersTooLarge[] = "HEADERS_TOO_LARGE";
inline constexpr char kMethodNotAllowed[] = "METHOD_NOT_ALLOWED";
inline constexpr char kRouteNotFound[] = "ROUTE_NOT_FOUND";

// 400, 401, 403, 404, 405, 408, 409, 413, 415, 429, 431, 499, 500, 501, 503 or
// 504, by the status' reason where it says more than its code.
int HttpCode(const absl::Status& status);

// {"error": {"code": 404, "status": "NOT_FOUND", "reason": "...", "message":
// "...", "details": {...}}}
std::string ErrorJson(const absl::Status& status);

absl::Status ModelNotFound(absl::string_view asked, absl::string_view served);

// {"error": "..."}, the message alone: what clients of the inference protocol
// expect.
std::string InferenceErrorJson(const absl::Status& status);

// An answer to the request that says so, with Retry-After if the status has a
// delay. Its body is InferenceErrorJson for all below /v2.
Response ErrorResponse(const Request& request, const absl::Status& status);

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_ERRORS_H_
