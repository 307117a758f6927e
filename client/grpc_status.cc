#include "client/grpc_status.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "client/error_info.h"

namespace zeroshot::client {
namespace {

// Calls `visit` with each field of that number that holds bytes.
// google/rpc/*.proto are not among protobuf's own, and only three tiny
// messages of them are needed, so these are read field by field.
template <typename Visit>
void ForEachField(const std::string& message, int number, Visit visit) {
  google::protobuf::UnknownFieldSet fields;
  if (!fields.ParseFromString(message)) return;
  for (int i = 0; i < fields.field_count(); ++i) {
    const google::protobuf::UnknownField& field = fields.field(i);
    if (field.number() == number &&
        field.type() == google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED) {
      visit(field.length_delimited());
    }
  }
}

// Calls `visit` with each detail of that type of a google.rpc.Status:
// message Status { ...; repeated Any details = 3; }
template <typename Visit>
void ForEachDetail(const std::string& status, const char* type, Visit visit) {
  ForEachField(status, 3, [&](const std::string& bytes) {
    google::protobuf::Any detail;
    if (detail.ParseFromString(bytes) &&
        absl::EndsWith(detail.type_url(), absl::StrCat("/google.rpc.", type))) {
      visit(detail.value());
    }
  });
}

}  // namespace

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  std::string message = status.error_message();
  // gRPC's own words for a call that the other side cut off.
  if (code == absl::StatusCode::kCancelled && message == "CANCELLED") {
    message = "the call was cut off by the server or by a proxy on the way";
  }
  if (message.empty()) message = "the call failed; nothing says why";
  absl::Status result(code, message);
  if (!status.error_details().empty()) {
    result.SetPayload(kErrorDetailsUrl, absl::Cord(status.error_details()));
  }
  return result;
}

absl::Status FromItemStatus(const v1::ItemStatus& status) {
  return FromGrpcStatus(
      {static_cast<grpc::StatusCode>(status.code()), status.message(),
       status.details().empty() ? "" : status.SerializeAsString()});
}

std::optional<ErrorInfo> ErrorInfoOf(const absl::Status& status) {
  const auto details = status.GetPayload(kErrorDetailsUrl);
  if (!details.has_value()) return std::nullopt;
  std::optional<ErrorInfo> info;
  ForEachDetail(std::string(*details), "ErrorInfo", [&](const std::string& in) {
    info.emplace();
    ForEachField(in, 1, [&](const std::string& v) { info->reason = v; });
    ForEachField(in, 2, [&](const std::string& v) { info->domain = v; });
    // map<string, string> metadata = 3: entries { key = 1; value = 2; }.
    ForEachField(in, 3, [&](const std::string& entry) {
      std::string key, value;
      ForEachField(entry, 1, [&](const std::string& v) { key = v; });
      ForEachField(entry, 2, [&](const std::string& v) { value = v; });
      info->metadata[key] = value;
    });
  });
  return info;
}

std::string ReasonOf(const absl::Status& status) {
  const std::optional<ErrorInfo> info = ErrorInfoOf(status);
  if (info.has_value()) return info->reason;
  switch (status.code()) {
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kUnavailable:
      return absl::StatusCodeToString(status.code());
    default:
      return "";
  }
}

// message RetryInfo { Duration retry_delay = 1; }
absl::Duration RetryDelay(const grpc::Status& status) {
  absl::Duration delay;
  ForEachDetail(status.error_details(), "RetryInfo",
                [&](const std::string& info) {
                  ForEachField(info, 1, [&](const std::string& value) {
                    google::protobuf::Duration asked;
                    if (!asked.ParseFromString(value)) return;
                    delay = std::max(absl::ZeroDuration(),
                                     absl::Seconds(asked.seconds()) +
                                         absl::Nanoseconds(asked.nanos()));
                  });
                });
  return delay;
}

}  // namespace zeroshot::client
