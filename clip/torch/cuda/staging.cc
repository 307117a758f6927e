#include "clip/torch/cuda/staging.h"

#include "clip/torch/cuda/queue.h"

namespace clip {

Event::Event() {
  CheckCuda(cudaEventCreateWithFlags(
      &event_, cudaEventBlockingSync | cudaEventDisableTiming));
}

void Event::Record(cudaStream_t stream) {
  CheckCuda(cudaEventRecord(event_, stream));
}

void Event::Block(cudaStream_t stream) const {
  CheckCuda(cudaStreamWaitEvent(stream, event_, cudaEventWaitDefault));
}

void Event::Wait() const { CheckCuda(cudaEventSynchronize(event_)); }

Staging::Staging(const at::Device& device, int64_t max_batch,
                 int64_t image_size, int64_t embedding_dim) {
  const std::vector<int64_t> crops = {max_batch, image_size, image_size, 3};
  for (Slot& slot : slots_) {
    slot.host_crops = Pinned(crops, at::kByte);
    slot.device_crops =
        at::empty(crops, at::TensorOptions(device).dtype(at::kByte));
    slot.host_rows = Pinned({max_batch, embedding_dim}, at::kFloat);
    free_.push_back(&slot);
  }
}

Slot* Staging::Take() {
  base::MutexLock lock(&mu_);
  while (free_.empty()) given_.Wait(&mu_);
  Slot* const slot = free_.back();
  free_.pop_back();
  return slot;
}

void Staging::Give(Slot* slot) {
  base::MutexLock lock(&mu_);
  free_.push_back(slot);
  given_.NotifyOne();
}

}  // namespace clip
