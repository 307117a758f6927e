#include "server/grpc_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/error_info.h"
#include "zeroshot/admission.h"

namespace zeroshot::server {
namespace {

TEST(GrpcStatusTest, OkIsOk) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
}

TEST(GrpcStatusTest, KeepsEveryCodeAndTheMessage) {
  for (int code = 1; code <= 16; ++code) {
    const grpc::Status status = ToGrpcStatus(
        absl::Status(static_cast<absl::StatusCode>(code), "what happened"));
    EXPECT_EQ(status.error_code(), code);
    EXPECT_EQ(status.error_message(), "what happened");
  }
}

// The bytes are protoc --encode's for google.rpc.Status { code: 8 message:
// "full" details { [type.googleapis.com/google.rpc.ErrorInfo] { reason:
// "OVERLOADED" domain: "zeroshot" metadata { key: "cause" value: "inflight" } }
// } details { [type.googleapis.com/google.rpc.RetryInfo] { retry_delay {
// seconds: 1 nanos: 500000000 } } } }.
TEST(GrpcStatusTest, ReasonAndRetryDelayTravelAsGoogleRpcDetails) {
  absl::Status status =
      base::WithReason(absl::ResourceExhaustedError("full"), base::kOverloaded,
                       {{"cause", "inflight"}});
  SetRetryDelay(status, absl::Milliseconds(1500));
  const std::string expected =
      "\x08\x08\x12\x04"
      "full"
      "\x1a\x55\x0a\x28"
      "type.googleapis.com/google.rpc.ErrorInfo"
      "\x12\x29\x0a\x0aOVERLOADED\x12\x08zeroshot"
      "\x1a\x11\x0a\x05"
      "cause\x12\x08inflight"
      "\x1a\x36\x0a\x28"
      "type.googleapis.com/google.rpc.RetryInfo"
      "\x12\x0a\x0a\x08\x08\x01\x10\x80\xca\xb5\xee\x01";
  EXPECT_EQ(ToGrpcStatus(status).error_details(), expected);
  EXPECT_EQ(ToGrpcStatus(status).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace zeroshot::server
