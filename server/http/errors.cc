#include "server/http/errors.h"

#include <cmath>
#include <cstdint>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/error_info.h"
#include "base/json_reader.h"
#include "base/quoted.h"
#include "server/grpc_status.h"
#include "server/http/json_message.h"
#include "server/http/url.h"
#include "server/inference/models.h"
#include "zeroshot/admission.h"

namespace zeroshot::server::http {
namespace {

constexpr std::pair<absl::string_view, int> kCodeOfReason[] = {
    {kBodyTooLarge, 413},
    {kContentTypeNotSupported, 415},
    {kHeadersTooLarge, 431},
    {kMethodNotAllowed, 405},
    {base::kClientTooSlow, 408},
    {base::kImageNotSupported, 415},
    {base::kImageTooLarge, 413},
    {base::kOutOfMemory, 503},
    {base::kWeightSetTooLarge, 413},
};

}  // namespace

int HttpCode(const absl::Status& status) {
  const std::string reason = InfoOf(status).reason;
  for (const auto& [known, code] : kCodeOfReason) {
    if (reason == known) return code;
  }
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kDataLoss:
      return 400;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
      return 409;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    default:
      return 500;
  }
}

std::string ErrorJson(const absl::Status& status) {
  const base::ErrorInfo info = InfoOf(status);
  std::string out = absl::StrCat(
      "{\"error\": {\"code\": ", HttpCode(status), ", \"status\": \"",
      absl::StatusCodeToString(status.code()), "\", \"reason\": ");
  base::AppendJsonString(info.reason, &out);
  out += ", \"message\": ";
  base::AppendJsonString(status.message(), &out);
  out += ", \"details\": {";
  bool first = true;
  for (const auto& [key, value] : info.metadata) {
    if (!first) out += ", ";
    first = false;
    base::AppendJsonString(key, &out);
    out += ": ";
    base::AppendJsonString(value, &out);
  }
  const absl::Duration delay = RetryDelay(status);
  if (delay > absl::ZeroDuration()) {
    absl::StrAppend(&out, first ? "" : ", ", "\"retry_delay\": ");
    AppendNumber(absl::ToDoubleSeconds(delay), &out);
  }
  return out + "}}}";
}

absl::Status ModelNotFound(absl::string_view asked, absl::string_view served) {
  return base::WithReason(absl::NotFoundError(absl::StrCat(
                              "there is no model ", base::Quoted(asked),
                              "; the one served is ", base::Quoted(served))),
                          base::kModelNotFound,
                          {{"model", std::string(served)}});
}

std::string InferenceErrorJson(const absl::Status& status) {
  std::string out = "{\"error\": ";
  base::AppendJsonString(status.message(), &out);
  return out + "}";
}

Response ErrorResponse(const Request& request, const absl::Status& status) {
  const absl::string_view path = SplitTarget(request.target).first;
  Response response;
  response.code = HttpCode(status);
  response.body = path == "/v2" || absl::StartsWith(path, "/v2/")
                      ? InferenceErrorJson(status)
                      : ErrorJson(status);
  if (response.code == 401) {
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
  }
  absl::Duration delay = RetryDelay(status);
  // gRPC's own refusals say no delay.
  if (response.code == 429 && delay <= absl::ZeroDuration()) {
    delay = absl::Seconds(1);
  }
  if (delay > absl::ZeroDuration()) {
    response.headers.emplace_back(
        "Retry-After", absl::StrCat(static_cast<int64_t>(
                           std::ceil(absl::ToDoubleSeconds(delay)))));
  }
  return response;
}

}  // namespace zeroshot::server::http
