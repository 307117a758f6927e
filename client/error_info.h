// What a program reads of an error that the server sent: its reason and what it
// is about (google.rpc.ErrorInfo). The wire contract lists the reasons.
//
//   if (zeroshot::client::ReasonOf(status) == "WEIGHT_SET_NOT_FOUND") ...
#ifndef ZEROSHOT_CLIENT_ERROR_INFO_H_
#define ZEROSHOT_CLIENT_ERROR_INFO_H_

#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"

namespace zeroshot::client {

struct ErrorInfo {
  std::string reason;  // "IMAGE_DAMAGED", ...
  std::string domain;  // "zeroshot"
  std::map<std::string, std::string> metadata;
};

// Of a call or of one item of a batch. None: it does not come from the server,
// or gRPC ended the call itself, on one side or the other.
std::optional<ErrorInfo> ErrorInfoOf(const absl::Status& status);

// The info's reason. Without one the code's name, if it is that of a reason
// (CANCELLED, DEADLINE_EXCEEDED, INTERNAL, PERMISSION_DENIED, UNAUTHENTICATED,
// UNAVAILABLE), else empty.
std::string ReasonOf(const absl::Status& status);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_ERROR_INFO_H_
