// grpc::Status -> absl::Status. The codes are the same numbers.
#ifndef ZEROSHOT_CLIENT_GRPC_STATUS_H_
#define ZEROSHOT_CLIENT_GRPC_STATUS_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/support/status.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::client {

// Code, message, and the binary details as the payload of kErrorDetailsUrl. A
// status without a message gets one.
absl::Status FromGrpcStatus(const grpc::Status& status);

// The same of one item of a batch.
absl::Status FromItemStatus(const v1::ItemStatus& status);

// When the server wants the call again (google.rpc.RetryInfo), from now; zero
// if it does not say.
absl::Duration RetryDelay(const grpc::Status& status);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_GRPC_STATUS_H_
