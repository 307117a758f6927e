// absl::Status -> grpc::Status: the codes are the same, and a retry delay
// (zeroshot/door.h) travels in the two ways in which clients look for it.
#ifndef ZEROSHOT_SERVER_GRPC_STATUS_H_
#define ZEROSHOT_SERVER_GRPC_STATUS_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace zeroshot::server {

// The details of a status with a retry delay are a serialised
// google.rpc.Status that holds one google.rpc.RetryInfo, which is what programs
// read.
grpc::Status ToGrpcStatus(const absl::Status& status);

// Sends the status' retry delay, if it has one, also as the trailing metadata
// grpc-retry-pushback-ms (gRFC A6), which gRPC clients obey by themselves:
// where their retryPolicy names the status' code they wait exactly that long.
void AddRetryPushback(const absl::Status& status, grpc::ServerContext* context);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_GRPC_STATUS_H_
