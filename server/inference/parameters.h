// Parameters of the inference protocol: what they say, and that no unknown ones
// are there. Errors are InvalidArgument, name the parameter, and say what was
// found and what is allowed.
//
// Thread rule: free functions without state.
#ifndef ZEROSHOT_SERVER_INFERENCE_PARAMETERS_H_
#define ZEROSHOT_SERVER_INFERENCE_PARAMETERS_H_

#include <google/protobuf/map.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "inference/inference.pb.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::server {

using InferParameters =
    google::protobuf::Map<std::string, inference::InferParameter>;

// "there is no parameter 'x' of the output 'class'; there are ..."
absl::Status UnknownParameter(absl::string_view name, absl::string_view whose,
                              absl::string_view known);

// There are none.
absl::Status CheckNoneOf(const InferParameters& parameters,
                         absl::string_view whose);

// Sets what the parameters of a call of a weight set say: top_k,
// score_function, min_probability. Numbers may be texts.
absl::Status TakeParameters(const inference::ModelInferRequest& request,
                            v1::ClassifyBatchRequest* classify);

// There are no parameters, as of the towers.
absl::Status CheckNoParameters(const inference::ModelInferRequest& request);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_INFERENCE_PARAMETERS_H_
