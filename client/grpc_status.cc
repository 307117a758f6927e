#include "client/grpc_status.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "client/client.h"

namespace zeroshot::client {
namespace {

// Calls `visit` with each field of that number that holds bytes.
// google/rpc/*.proto are not among protobuf's own, and only two tiny messages
// of them are needed, so these are read field by field.
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

// message Status { ...; repeated Any details = 3; }
// message RetryInfo { Duration retry_delay = 1; }
absl::Duration RetryDelay(const grpc::Status& status) {
  absl::Duration delay;
  ForEachField(status.error_details(), 3, [&](const std::string& bytes) {
    google::protobuf::Any detail;
    if (!detail.ParseFromString(bytes) ||
        !absl::EndsWith(detail.type_url(), "/google.rpc.RetryInfo")) {
      return;
    }
    ForEachField(detail.value(), 1, [&](const std::string& value) {
      google::protobuf::Duration asked;
      if (!asked.ParseFromString(value)) return;
      delay =
          std::max(absl::ZeroDuration(), absl::Seconds(asked.seconds()) +
                                             absl::Nanoseconds(asked.nanos()));
    });
  });
  return delay;
}

}  // namespace zeroshot::client
