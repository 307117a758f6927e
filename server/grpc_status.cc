#include "server/grpc_status.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/wire.h"
#include "zeroshot/door.h"

namespace zeroshot::server {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;
using google::protobuf::io::StringOutputStream;

// google/rpc/*.proto are not among protobuf's own, and only two tiny messages
// of them are needed, so these are written field by field. (A message within
// a message is written like bytes.)

// message RetryInfo { Duration retry_delay = 1; }
std::string SerializedRetryInfo(absl::Duration delay) {
  google::protobuf::Duration retry_delay;
  ToProto(delay, &retry_delay);
  std::string bytes;
  StringOutputStream stream(&bytes);
  CodedOutputStream out(&stream);
  WireFormatLite::WriteBytes(1, retry_delay.SerializeAsString(), &out);
  return bytes;
}

// message Status { int32 code = 1; string message = 2; repeated Any details =
// 3; }
std::string SerializedStatus(const absl::Status& status,
                             const google::protobuf::Any& detail) {
  std::string bytes;
  StringOutputStream stream(&bytes);
  CodedOutputStream out(&stream);
  WireFormatLite::WriteInt32(1, status.raw_code(), &out);
  WireFormatLite::WriteString(2, std::string(status.message()), &out);
  WireFormatLite::WriteBytes(3, detail.SerializeAsString(), &out);
  return bytes;
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const auto code = static_cast<grpc::StatusCode>(status.code());
  const std::string message(status.message());
  const absl::Duration delay = RetryDelay(status);
  if (delay <= absl::ZeroDuration()) return {code, message};
  google::protobuf::Any detail;
  detail.set_type_url("type.googleapis.com/google.rpc.RetryInfo");
  detail.set_value(SerializedRetryInfo(delay));
  return {code, message, SerializedStatus(status, detail)};
}

void AddRetryPushback(const absl::Status& status,
                      grpc::ServerContext* context) {
  const absl::Duration delay = RetryDelay(status);
  if (delay <= absl::ZeroDuration()) return;
  context->AddTrailingMetadata("grpc-retry-pushback-ms",
                               absl::StrCat(absl::ToInt64Milliseconds(delay)));
}

}  // namespace zeroshot::server
