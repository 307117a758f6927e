#include "clip/checkpoint/tensor_view.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace clip {
namespace {

struct DTypeFacts {
  absl::string_view name;
  int64_t size;
};

DTypeFacts Facts(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return {"float32", 4};
    case DType::kFloat16:
      return {"float16", 2};
    case DType::kBFloat16:
      return {"bfloat16", 2};
    case DType::kFloat64:
      return {"float64", 8};
    case DType::kInt64:
      return {"int64", 8};
    case DType::kInt32:
      return {"int32", 4};
    case DType::kInt16:
      return {"int16", 2};
    case DType::kInt8:
      return {"int8", 1};
    case DType::kUInt8:
      return {"uint8", 1};
    case DType::kBool:
      return {"bool", 1};
  }
  return {"unknown", 1};
}

}  // namespace

absl::string_view DTypeName(DType dtype) { return Facts(dtype).name; }

int64_t DTypeSize(DType dtype) { return Facts(dtype).size; }

std::string ShapeText(absl::Span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

std::optional<int64_t> TensorByteSize(DType dtype,
                                      absl::Span<const int64_t> shape) {
  int64_t size = DTypeSize(dtype);
  for (const int64_t dimension : shape) {
    if (dimension < 0 || __builtin_mul_overflow(size, dimension, &size)) {
      return std::nullopt;
    }
  }
  return size;
}

}  // namespace clip
