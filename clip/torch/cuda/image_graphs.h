// CUDA graphs of the image tower, one for each size of BatchLadder: a batch is
// one launch instead of hundreds, which a small batch would take longer for
// than for computing.
#ifndef ZEROSHOT_CLIP_TORCH_CUDA_IMAGE_GRAPHS_H_
#define ZEROSHOT_CLIP_TORCH_CUDA_IMAGE_GRAPHS_H_

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAGraph.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "absl/status/status.h"

namespace clip {

// Thread rule: for one thread, and with one current stream: that orders what
// the graphs, which share their memory, read and write.
class ImageGraphs {
 public:
  // Crops [n, size, size, 3] uint8 to unit rows [n, embedding_dim], both on the
  // device; queued on the current stream without waiting for it.
  using Encode = std::function<at::Tensor(const at::Tensor& crops)>;

  // Captures `encode` for the sizes up to max_batch; those that the device's
  // memory has no room for are left out. `encode` must outlive this: the graphs
  // read its weights. REQUIRES: the current stream is not the default one.
  //
  // An error: CUDA could not capture; there are no graphs then.
  absl::Status Capture(const at::Device& device, int max_batch,
                       int64_t image_size, const Encode& encode);

  // How many there are, and the largest batch that one takes; 0: none.
  int count() const { return static_cast<int>(graphs_.size()); }
  int64_t largest() const {
    return graphs_.empty() ? 0 : graphs_.rbegin()->first;
  }

  // What `encode` makes of crops [n, size, size, 3] on the device. The rows are
  // overwritten by what is queued behind the next Run. REQUIRES: n <= largest.
  at::Tensor Run(const at::Tensor& crops);

 private:
  struct Graph {
    std::unique_ptr<at::cuda::CUDAGraph> graph;
    at::Tensor rows;  // that it writes
  };

  Graph CaptureOne(const at::Device& device, c10::MempoolId_t pool, int64_t n,
                   const Encode& encode) const;

  at::Tensor crops_;  // [max_batch, size, size, 3]: that all graphs read
  std::map<int64_t, Graph> graphs_;  // by the size of the batch
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_CUDA_IMAGE_GRAPHS_H_
