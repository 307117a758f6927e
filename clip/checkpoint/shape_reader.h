// What shapes of tensors say of an architecture.
// Thread rule: one object, one thread.
#ifndef ZEROSHOT_CLIP_CHECKPOINT_SHAPE_READER_H_
#define ZEROSHOT_CLIP_CHECKPOINT_SHAPE_READER_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "clip/checkpoint/tensor_view.h"

namespace clip {

// Sizes of tensors by name; the first error sticks, and sizes are 0 then.
class ShapeReader {
 public:
  // Borrows the tensors.
  explicit ShapeReader(const TensorMap& tensors) : tensors_(tensors) {}

  static constexpr int kMaxSize = 1 << 24;

  const absl::Status& status() const { return status_; }

  int Size(const std::string& name, size_t rank, size_t axis);

  // How many `prefix`0, `prefix`1, ... there are, judged by the highest, so
  // that a gap is found as a missing tensor.
  int Layers(absl::string_view prefix) const;

  // The side of the square grid that a positional embedding of grid * grid + 1
  // rows is for.
  int Grid(const std::string& name);

 private:
  int Fail(const std::string& what);

  const TensorMap& tensors_;
  absl::Status status_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CHECKPOINT_SHAPE_READER_H_
