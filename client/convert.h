// Between the wire's messages and the client's plain values (client/types.h).
#ifndef ZEROSHOT_CLIENT_CONVERT_H_
#define ZEROSHOT_CLIENT_CONVERT_H_

#include <vector>

#include "absl/status/statusor.h"
#include "client/types.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::client {

v1::BuildClassifierRequest ToProto(const ClassifierSpec& spec);
ClassifierSpec FromProto(const v1::BuildClassifierRequest& request);

// InvalidArgument names the first text that is not UTF-8, which protobuf could
// not send: "classes[3].name ...".
absl::Status CheckText(const google::protobuf::Message& message);

// One answer a weight set, of `count`. Internal: another number of them, or one
// without a prediction.
absl::StatusOr<std::vector<Answer>> FromProto(
    const v1::ClassifyResponse& response, int count);

// The answer to `count` images. Internal: another number of items, or a good
// one without a prediction.
absl::StatusOr<BatchAnswer> FromProto(const v1::ClassifyBatchResponse& response,
                                      int count);

// The answer to `count` items. Internal: it has another number of statuses or
// floats than that.
absl::StatusOr<std::vector<absl::StatusOr<Embedding>>> FromProto(
    const v1::EmbedImagesResponse& response, int count);
absl::StatusOr<std::vector<absl::StatusOr<Embedding>>> FromProto(
    const v1::EmbedTextsResponse& response, int count);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CONVERT_H_
