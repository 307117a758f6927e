// absl::Status -> grpc::Status: the codes are the same, and a retry delay
// (zeroshot/door.h) travels as google.rpc.RetryInfo.
// Thread rule: a free function without state.
#ifndef ZEROSHOT_SERVER_GRPC_STATUS_H_
#define ZEROSHOT_SERVER_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace zeroshot::server {

// The details of a status with a retry delay are a serialised
// google.rpc.Status that holds one google.rpc.RetryInfo, which is where every
// gRPC client library looks for it.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_GRPC_STATUS_H_
