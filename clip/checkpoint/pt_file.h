// PyTorch's .pt files: a zip archive with the pickle data.pkl, which says what
// there is, and one record of bytes for each storage. TorchScript archives
// (torch.jit.save) and state dicts (torch.save) are both of this kind; code in
// a TorchScript archive is neither needed nor read.
//
// Thread rule: free functions without state; call them from any thread.
#ifndef ZEROSHOT_CLIP_CHECKPOINT_PT_FILE_H_
#define ZEROSHOT_CLIP_CHECKPOINT_PT_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "clip/checkpoint/tensor_view.h"

namespace clip {

// Tensors by their state dict's names ("visual.conv1.weight"). The file's bytes
// must outlive them. A training checkpoint's {"state_dict": ...} and the
// "module." in front of names that DataParallel adds are seen through.
//
// Records that are used are read as a whole, to check their CRC-32.
//
// InvalidArgument: not such a file, truncated, damaged, or a tensor outside
// its storage; the message names the tensor.
absl::StatusOr<TensorFile> ParsePtFile(absl::Span<const uint8_t> file);

// Maps the file into memory and parses it. Errors as above, and NotFound.
absl::StatusOr<TensorFile> ReadPtFile(const std::string& path);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CHECKPOINT_PT_FILE_H_
