#include "server/grpc_status.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/unknown_field_set.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/error_info.h"
#include "server/wire.h"
#include "zeroshot/admission.h"

namespace zeroshot::server {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;
using google::protobuf::io::StringOutputStream;

constexpr char kDomain[] = "zeroshot";

// Of one value. gRPC's clients take 8 KiB of metadata, the details among them.
constexpr size_t kMaxValueBytes = 128;

// For errors that say no more than their code does.
absl::string_view ReasonOfCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kCancelled:
      return base::kCancelled;
    case absl::StatusCode::kInvalidArgument:
      return base::kInvalidRequest;
    case absl::StatusCode::kDeadlineExceeded:
      return base::kDeadlineExceeded;
    case absl::StatusCode::kNotFound:
      return base::kWeightSetNotFound;
    case absl::StatusCode::kPermissionDenied:
      return base::kPermissionDenied;
    case absl::StatusCode::kUnauthenticated:
      return base::kUnauthenticated;
    case absl::StatusCode::kResourceExhausted:
      return base::kOutOfMemory;
    case absl::StatusCode::kFailedPrecondition:
      return base::kWrongModel;
    case absl::StatusCode::kUnavailable:
      return base::kUnavailable;
    default:
      return base::kInternal;
  }
}

// Strangers' text may be among the metadata: the id that was asked for.
bool IsFit(const std::string& value) {
  return value.size() <= kMaxValueBytes &&
         std::all_of(value.begin(), value.end(), absl::ascii_isprint);
}

// google/rpc/*.proto are not among protobuf's own, and only three tiny messages
// of them are needed, so these are written field by field. (A message within
// a message is written like bytes.)

// message ErrorInfo { string reason = 1; string domain = 2;
// map<string, string> metadata = 3; }; a map's entries are messages
// { key = 1; value = 2; }.
std::string SerializedErrorInfo(const base::ErrorInfo& info) {
  std::string bytes;
  StringOutputStream stream(&bytes);
  CodedOutputStream out(&stream);
  WireFormatLite::WriteString(1, info.reason, &out);
  WireFormatLite::WriteString(2, kDomain, &out);
  for (const auto& [key, value] : info.metadata) {
    if (!IsFit(value)) continue;
    std::string entry;
    {
      StringOutputStream entry_stream(&entry);
      CodedOutputStream entry_out(&entry_stream);
      WireFormatLite::WriteString(1, key, &entry_out);
      WireFormatLite::WriteString(2, value, &entry_out);
    }
    WireFormatLite::WriteBytes(3, entry, &out);
  }
  out.Trim();
  return bytes;
}

// message RetryInfo { Duration retry_delay = 1; }
std::string SerializedRetryInfo(absl::Duration delay) {
  google::protobuf::Duration retry_delay;
  ToProto(delay, &retry_delay);
  std::string bytes;
  StringOutputStream stream(&bytes);
  CodedOutputStream out(&stream);
  WireFormatLite::WriteBytes(1, retry_delay.SerializeAsString(), &out);
  out.Trim();
  return bytes;
}

// message Status { int32 code = 1; string message = 2; repeated Any details =
// 3; }
std::string SerializedStatus(const absl::Status& status) {
  std::string bytes;
  StringOutputStream stream(&bytes);
  CodedOutputStream out(&stream);
  WireFormatLite::WriteInt32(1, status.raw_code(), &out);
  WireFormatLite::WriteString(2, std::string(status.message()), &out);
  for (const google::protobuf::Any& detail : ErrorDetails(status)) {
    WireFormatLite::WriteBytes(3, detail.SerializeAsString(), &out);
  }
  out.Trim();
  return bytes;
}

// Calls `visit` with each field of that number that holds bytes.
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

base::ErrorInfo ParseErrorInfo(const std::string& bytes) {
  base::ErrorInfo info;
  ForEachField(bytes, 1, [&](const std::string& v) { info.reason = v; });
  ForEachField(bytes, 3, [&](const std::string& entry) {
    std::string key;
    ForEachField(entry, 1, [&](const std::string& v) { key = v; });
    ForEachField(entry, 2,
                 [&](const std::string& v) { info.metadata[key] = v; });
  });
  return info;
}

absl::Duration ParseRetryInfo(const std::string& bytes) {
  absl::Duration delay;
  ForEachField(bytes, 1, [&](const std::string& value) {
    google::protobuf::Duration asked;
    if (!asked.ParseFromString(value)) return;
    delay = absl::Seconds(asked.seconds()) + absl::Nanoseconds(asked.nanos());
  });
  return delay;
}

}  // namespace

base::ErrorInfo InfoOf(const absl::Status& status) {
  const base::ErrorInfo of_code{std::string(ReasonOfCode(status.code())), {}};
  return base::ErrorInfoOf(status).value_or(of_code);
}

google::protobuf::RepeatedPtrField<google::protobuf::Any> ErrorDetails(
    const absl::Status& status) {
  google::protobuf::RepeatedPtrField<google::protobuf::Any> details;
  const auto add = [&](const char* type, std::string value) {
    google::protobuf::Any* const detail = details.Add();
    detail->set_type_url(absl::StrCat("type.googleapis.com/google.rpc.", type));
    detail->set_value(std::move(value));
  };
  add("ErrorInfo", SerializedErrorInfo(InfoOf(status)));
  const absl::Duration delay = RetryDelay(status);
  if (delay > absl::ZeroDuration()) {
    add("RetryInfo", SerializedRetryInfo(delay));
  }
  return details;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.code()),
          std::string(status.message()), SerializedStatus(status)};
}

absl::Status FromItemStatus(const v1::ItemStatus& status) {
  absl::Status result(static_cast<absl::StatusCode>(status.code()),
                      status.message());
  if (result.ok()) return result;
  for (const google::protobuf::Any& detail : status.details()) {
    if (absl::EndsWith(detail.type_url(), "/google.rpc.ErrorInfo")) {
      const base::ErrorInfo info = ParseErrorInfo(detail.value());
      result = base::WithReason(result, info.reason, info.metadata);
    } else if (absl::EndsWith(detail.type_url(), "/google.rpc.RetryInfo")) {
      SetRetryDelay(result, ParseRetryInfo(detail.value()));
    }
  }
  return result;
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  // The details are a google.rpc.Status, which an ItemStatus is on the wire.
  v1::ItemStatus whole;
  if (!whole.ParseFromString(status.error_details())) whole.Clear();
  whole.set_code(status.error_code());
  whole.set_message(status.error_message());
  return FromItemStatus(whole);
}

void AddRetryPushback(const absl::Status& status,
                      grpc::ServerContext* context) {
  const absl::Duration delay = RetryDelay(status);
  if (delay <= absl::ZeroDuration()) return;
  context->AddTrailingMetadata("grpc-retry-pushback-ms",
                               absl::StrCat(absl::ToInt64Milliseconds(delay)));
}

}  // namespace zeroshot::server
