// Tensors as files hold them: a type, a shape and little-endian bytes,
// row-major. What every checkpoint format is read into, before LibTorch sees
// anything, so that the readers can be sanitised and fuzzed without it.
#ifndef ZEROSHOT_CLIP_CHECKPOINT_TENSOR_VIEW_H_
#define ZEROSHOT_CLIP_CHECKPOINT_TENSOR_VIEW_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace clip {

enum class DType {
  kFloat32,
  kFloat16,
  kBFloat16,
  kFloat64,
  kInt64,
  kInt32,
  kInt16,
  kInt8,
  kUInt8,
  kBool,
};

// "float32", as PyTorch and NumPy call it.
absl::string_view DTypeName(DType dtype);

// Bytes of one element.
int64_t DTypeSize(DType dtype);

struct TensorView {
  DType dtype = DType::kFloat32;
  std::vector<int64_t> shape;
  absl::Span<const uint8_t> bytes;  // borrowed; exactly product(shape) elements
};

using TensorMap = std::map<std::string, TensorView, std::less<>>;

// Who wrote a file of tensors, as far as the file shows it.
enum class Writer {
  kUnknown,   // a state dict, alone or in a wrapper that anyone may write
  kOpenAi,    // a TorchScript archive
  kOpenClip,  // a training checkpoint, or names that only open_clip has
};

// The tensors of one file or several, with what owns their bytes and what else
// the file says.
struct TensorFile {
  TensorMap tensors;
  std::vector<std::shared_ptr<const void>> owners;
  Writer writer = Writer::kUnknown;
  std::optional<bool> quick_gelu;  // where a training checkpoint's words say it
};

// "[768, 512]".
std::string ShapeText(absl::Span<const int64_t> shape);

// Bytes of a tensor; nothing if a dimension is negative or the product does
// not fit an int64.
std::optional<int64_t> TensorByteSize(DType dtype,
                                      absl::Span<const int64_t> shape);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CHECKPOINT_TENSOR_VIEW_H_
