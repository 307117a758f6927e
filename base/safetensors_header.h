// The JSON header of a safetensors file, read without building a tree of it: a
// header costs its own length and a bounded number of entries, whatever it
// holds.
#ifndef ZEROSHOT_BASE_SAFETENSORS_HEADER_H_
#define ZEROSHOT_BASE_SAFETENSORS_HEADER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace base {

struct SafetensorsEntry {
  std::string dtype;  // as the file says it: "F32"
  std::vector<int64_t> shape;
  int64_t begin = 0, end = 0;  // bytes of the data
};

struct SafetensorsHeader {
  // Far more than any checkpoint has.
  static constexpr size_t kMaxTensors = 65'536;
  static constexpr size_t kMaxMetadata = 4'096;
  static constexpr size_t kMaxNameBytes = 4'096;
  static constexpr size_t kMaxAxes = 64;

  std::map<std::string, SafetensorsEntry, std::less<>> tensors;
  // __metadata__: texts as they stand in the header (JsonUnescape), borrowed.
  std::map<std::string, absl::string_view, std::less<>> metadata;
};

// InvalidArgument: not such a header, a name twice, or more than the bounds
// above; the message names the tensor.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(
    absl::string_view json);

}  // namespace base

#endif  // ZEROSHOT_BASE_SAFETENSORS_HEADER_H_
