// absl::Status <-> grpc::Status: the codes are the same; reason and metadata
// (base/error_info.h) travel as google.rpc.ErrorInfo, and a retry delay
// (zeroshot/admission.h) in the two ways in which clients look for it.
#ifndef ZEROSHOT_SERVER_GRPC_STATUS_H_
#define ZEROSHOT_SERVER_GRPC_STATUS_H_

#include <google/protobuf/any.pb.h>
#include <google/protobuf/repeated_field.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "base/error_info.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::server {

// Of an error: google.rpc.ErrorInfo and, with a retry delay,
// google.rpc.RetryInfo. An error without a reason of its own has its code's.
google::protobuf::RepeatedPtrField<google::protobuf::Any> ErrorDetails(
    const absl::Status& status);

// The reason and metadata that ErrorDetails tells of.
base::ErrorInfo InfoOf(const absl::Status& status);

// Its details are a serialised google.rpc.Status with the details above.
grpc::Status ToGrpcStatus(const absl::Status& status);

// The error that was made to a status by the functions above, in this process.
absl::Status FromGrpcStatus(const grpc::Status& status);
absl::Status FromItemStatus(const v1::ItemStatus& status);

// Sends the status' retry delay, if it has one, also as the trailing metadata
// grpc-retry-pushback-ms (gRFC A6), which gRPC clients obey by themselves:
// where their retryPolicy names the status' code they wait exactly that long.
void AddRetryPushback(const absl::Status& status, grpc::ServerContext* context);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_GRPC_STATUS_H_
