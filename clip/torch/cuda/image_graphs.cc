#include "clip/torch/cuda/image_graphs.h"

#include <ATen/core/CachingHostAllocator.h>
#include <c10/cuda/CUDACachingAllocator.h>

#include <exception>
#include <utility>
#include <vector>

#include "clip/batch_ladder.h"
#include "clip/torch/caught.h"
#include "clip/torch/cuda/queue.h"

namespace clip {
namespace {

// Ends a capture in which something was thrown. capture_end itself throws where
// CUDA calls the capture invalid, and has not told the allocators then: they
// would go on giving this capture's memory away.
void Abandon(const at::Device& device, c10::MempoolId_t pool,
             at::cuda::CUDAGraph* graph) {
  const auto try_to = [](const auto& f) {
    try {
      f();
      return true;
    } catch (const std::exception&) {
      return false;
    }
  };
  if (try_to([&] { graph->capture_end(); })) return;
  // What was still being recorded the graph will not release either.
  if (try_to([&] {
        c10::cuda::CUDACachingAllocator::endAllocateToPool(device.index(),
                                                           pool);
      })) {
    try_to([&] {
      c10::cuda::CUDACachingAllocator::releasePool(device.index(), pool);
    });
  }
  if (try_to([&] {
        at::getHostAllocator(at::kCUDA)->end_allocate_to_pool(pool);
      })) {
    try_to([&] { at::getHostAllocator(at::kCUDA)->release_pool(pool); });
  }
}

}  // namespace

absl::Status ImageGraphs::Capture(const at::Device& device, int max_batch,
                                  int64_t image_size, const Encode& encode) {
  const absl::Status prepared = Caught(device, [&] {
    // Zeros: what pads the first batches is computed too.
    crops_ = at::zeros({max_batch, image_size, image_size, 3},
                       at::TensorOptions(device).dtype(at::kByte));
    return absl::OkStatus();
  });
  if (!prepared.ok()) return prepared;
  c10::MempoolId_t pool = at::cuda::graph_pool_handle();
  // The largest first: the smaller ones then find room in its memory.
  const std::vector<int> sizes = BatchLadder(max_batch);
  for (auto n = sizes.rbegin(); n != sizes.rend(); ++n) {
    const absl::Status status = Caught(device, [&] {
      graphs_[*n] = CaptureOne(device, pool, *n, encode);
      return absl::OkStatus();
    });
    if (status.ok()) continue;
    graphs_.erase(*n);
    // A pool that no graph holds any more may not be captured into again.
    if (graphs_.empty()) pool = at::cuda::graph_pool_handle();
    if (!absl::IsResourceExhausted(status)) {
      graphs_.clear();
      return status;
    }
    // A smaller one may fit.
    const absl::Status freed = Caught(device, [] {
      c10::cuda::CUDACachingAllocator::emptyCache();
      return absl::OkStatus();
    });
    if (!freed.ok()) return freed;
  }
  return absl::OkStatus();
}

ImageGraphs::Graph ImageGraphs::CaptureOne(const at::Device& device,
                                           c10::MempoolId_t pool, int64_t n,
                                           const Encode& encode) const {
  const cudaStream_t stream = CurrentStream();
  const at::Tensor crops = crops_.narrow(0, 0, n);
  // First without capturing: what happens only once is not allowed in a
  // capture, such as loading a kernel, which cuBLAS and cuDNN choose by size.
  // cuBLAS's workspace, which it has for this thread and stream, also comes to
  // lie outside the graphs' memory; it is never freed.
  encode(crops);
  CheckCuda(cudaStreamSynchronize(stream));
  // While it captures LibTorch's allocator cannot give back what it keeps.
  c10::cuda::CUDACachingAllocator::emptyCache();
  Graph captured;
  captured.graph = std::make_unique<at::cuda::CUDAGraph>();
  // Only this thread must abstain from what a capture does not allow: others,
  // that serve on other devices, go on taking memory.
  try {
    captured.graph->capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    captured.rows = encode(crops);
    captured.graph->capture_end();
  } catch (...) {
    captured.rows = at::Tensor();
    Abandon(device, pool, captured.graph.get());
    throw;
  }
  // Once, so that it lies on the device.
  captured.graph->replay();
  CheckCuda(cudaStreamSynchronize(stream));
  return captured;
}

at::Tensor ImageGraphs::Run(const at::Tensor& crops) {
  const int64_t n = crops.size(0);
  const Graph& graph = graphs_.lower_bound(n)->second;
  CheckCuda(cudaMemcpyAsync(crops_.data_ptr(), crops.data_ptr(), crops.numel(),
                            cudaMemcpyDeviceToDevice, CurrentStream()));
  graph.graph->replay();
  return graph.rows.narrow(0, 0, n);
}

}  // namespace clip
