// Pinned memory for the rows of text steps, used again and again: taking some
// from the system takes 10 ms and more, and may hold up what is queued.
#ifndef ZEROSHOT_CLIP_TORCH_CUDA_ROW_BUFFERS_H_
#define ZEROSHOT_CLIP_TORCH_CUDA_ROW_BUFFERS_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/mutex.h"

namespace clip {

// Thread rule: Take may be called from many threads at once.
class RowBuffers {
 public:
  // Buffers of [rows, dim] float32. Two are made now: one that the device
  // writes, and one that is read meanwhile; more builds at once get more.
  RowBuffers(int64_t rows, int64_t dim);

  // One with room for `rows` rows; it comes back when nobody holds it. Steps of
  // more rows than were asked for at first, which are rare, get one of their
  // own. May outlive this.
  std::shared_ptr<const at::Tensor> Take(int64_t rows);

 private:
  struct Free {
    base::Mutex mu;
    std::vector<at::Tensor> buffers ABSL_GUARDED_BY(mu);
  };

  const int64_t rows_, dim_;
  const std::shared_ptr<Free> free_ = std::make_shared<Free>();
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_CUDA_ROW_BUFFERS_H_
