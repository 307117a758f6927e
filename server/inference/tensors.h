// Tensors of the inference protocol, on their way in and out. Their elements
// come in one of two forms: a list of its datatype's kind (`contents`), or raw
// bytes, little-endian, of BYTES each behind its length in 4 bytes.
//
// Errors are InvalidArgument, name the tensor, and say what was found and what
// is allowed.
#ifndef ZEROSHOT_SERVER_INFERENCE_TENSORS_H_
#define ZEROSHOT_SERVER_INFERENCE_TENSORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "inference/inference.pb.h"
#include "server/inference/models.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::server {

// The elements of the request's input, which must be `input` alone, of datatype
// BYTES and the shape [n, 1] or [n] with n from 1 to `most`. They are moved out
// of the request.
absl::StatusOr<std::vector<std::string>> TakeElements(
    const Tensor& input, int most, inference::ModelInferRequest* request);

// The outputs that the request asks for, in its order: places in `offered`. All
// of them if it names none.
absl::StatusOr<std::vector<int>> WantedOutputs(
    const std::vector<Tensor>& offered,
    const inference::ModelInferRequest& request);

// The predictions of all images as the tensors `wanted` of `offered`, in
// `contents`. An image that failed is the error, which names it: image[3].
// REQUIRES: one item an image, one image at least.
absl::Status ClassesToTensors(const v1::ClassifyBatchResponse& classes,
                              const std::vector<Tensor>& offered,
                              const std::vector<int>& wanted,
                              inference::ModelInferResponse* response);

// Vectors as the tensor `embedding`: [n, dim] of `vectors`, whose elements are
// moved. An input that failed is the error, which names it.
template <typename Embedded>
absl::Status VectorsToTensor(const Tensor& input, Embedded* embedded,
                             inference::ModelInferResponse* response);

// `contents` as raw bytes, and back. REQUIRES: `datatype` is BYTES, FP32, INT32
// or BOOL. False: the bytes are no such elements.
std::string RawOf(absl::string_view datatype,
                  const inference::InferTensorContents& contents);
bool FromRaw(absl::string_view datatype, absl::string_view raw,
             inference::InferTensorContents* contents);

// All outputs' elements to raw_output_contents.
void MakeRaw(inference::ModelInferResponse* response);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_INFERENCE_TENSORS_H_
