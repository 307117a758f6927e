// PyTorch's .pt files: a zip archive with the pickle data.pkl, which says what
// there is, and one record of bytes for each storage. TorchScript archives
// (torch.jit.save) and state dicts (torch.save) are both of this kind; code in
// a TorchScript archive is neither needed nor read.
#ifndef ZEROSHOT_CLIP_CHECKPOINT_PT_FILE_H_
#define ZEROSHOT_CLIP_CHECKPOINT_PT_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "clip/checkpoint/tensor_view.h"

namespace clip {

// Tensors by their state dict's names ("visual.conv1.weight"). The file's bytes
// must outlive them. The dictionaries that trainers put around a state dict
// ("state_dict", "model_state_dict", "model") are seen through; what they add
// in front of names is not (state_dict.h).
//
// Records that are used are read as a whole, to check their CRC-32.
//
// InvalidArgument: not such a file, truncated, damaged, or a tensor outside
// its storage; the message names the tensor.
absl::StatusOr<TensorFile> ParsePtFile(absl::Span<const uint8_t> file);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CHECKPOINT_PT_FILE_H_
