// The safetensors format (huggingface/safetensors, README "Format"): 8 bytes of
// header length, a JSON header of names, types, shapes and byte ranges, then
// the tensors' bytes without holes.
//
// Files come from anywhere: every length, offset and product is checked before
// it is used, so that a hostile or truncated file is an error and never a read
// outside of it.
#ifndef ZEROSHOT_CLIP_SAFETENSORS_H_
#define ZEROSHOT_CLIP_SAFETENSORS_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "clip/checkpoint/tensor_view.h"

namespace clip {

// The tensors in `file`, which must outlive them.
//
// InvalidArgument: not a safetensors file, truncated, or ranges that overlap,
// leave holes or do not fit type and shape; the message names the tensor.
absl::StatusOr<TensorMap> ParseSafetensors(absl::Span<const uint8_t> file);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_SAFETENSORS_H_
