// NumPy's .npy format (numpy.lib.format): a magic, a version, a header that is
// a Python dictionary of type, order and shape, then the numbers.
//
// Files come from anywhere: every length and product is checked before it is
// used, and nothing in a header is evaluated.
#ifndef ZEROSHOT_ZEROSHOT_NPY_H_
#define ZEROSHOT_ZEROSHOT_NPY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "clip/safetensors.h"

namespace zeroshot {

struct NpyArray {
  clip::DType dtype = clip::DType::kFloat32;  // float16, float32 or float64
  std::vector<int64_t> shape;
  bool fortran_order = false;  // the first axis is the fastest
  absl::string_view bytes;     // borrowed; exactly product(shape) numbers
};

// Whether a file says of itself that it is one.
bool IsNpy(absl::string_view file);

// The array in `file`, which must outlive it. Versions 1.0, 2.0 and 3.0.
//
// InvalidArgument: not such a file, truncated or longer than its shape says, a
// header that NumPy would not write, or numbers other than little-endian
// floats; the message says which.
absl::StatusOr<NpyArray> ParseNpy(absl::string_view file);

// What stands before the numbers of a float32 array, as NumPy writes it.
std::string NpyHeader(absl::Span<const int64_t> shape, bool fortran_order);

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_NPY_H_
