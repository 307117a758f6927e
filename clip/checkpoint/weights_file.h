// A file of tensors of any kind that trainers write: a safetensors file, or a
// .pt, .pth, .bin or .ckpt file of PyTorch's. What it is shows in its first
// bytes; its name does not count.
#ifndef ZEROSHOT_CLIP_CHECKPOINT_WEIGHTS_FILE_H_
#define ZEROSHOT_CLIP_CHECKPOINT_WEIGHTS_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "clip/checkpoint/tensor_view.h"

namespace clip {

// Maps the file into memory and parses it. The tensors have the names of the
// model's own state dict: what trainers put around those is taken off
// (state_dict.h).
//
// NotFound, PermissionDenied. InvalidArgument: damaged, or another kind of
// file; the message names the file and says what it is ("a git-lfs pointer").
absl::StatusOr<TensorFile> ReadWeightsFile(const std::string& path);

// The tensors of several files of one folder together. InvalidArgument also if
// two of them hold the same tensor.
absl::StatusOr<TensorFile> ReadWeightsFiles(
    const std::string& folder, const std::vector<std::string>& names);

// What a file is that holds no tensors, and what to do about it, by its first
// bytes: "an HTML page: ..."; empty if it is nothing known.
std::string KindOfFile(absl::Span<const uint8_t> bytes);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CHECKPOINT_WEIGHTS_FILE_H_
