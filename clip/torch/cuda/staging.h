// Where crops wait in pinned memory, which a device copies from by itself, and
// where their rows come back.
#ifndef ZEROSHOT_CLIP_TORCH_CUDA_STAGING_H_
#define ZEROSHOT_CLIP_TORCH_CUDA_STAGING_H_

#include <ATen/ATen.h>
#include <cuda_runtime_api.h>

#include <vector>

#include "absl/types/span.h"
#include "base/mutex.h"

namespace clip {

// A point in a stream's work. LibTorch's own would set the device when it is
// destroyed, which throws on a device that is lost.
// Thread rule: for one thread at a time.
class Event {
 public:
  // On the current device. A thread that waits sleeps, and leaves the core to
  // decoding.
  Event();
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void Record(cudaStream_t stream);
  // What is queued on `stream` from now on waits for the point recorded last.
  void Block(cudaStream_t stream) const;
  // This thread waits for it. Throws what went wrong on the device until then.
  void Wait() const;

 private:
  cudaEvent_t event_ = nullptr;
};

// What one batch of images needs on its way.
struct Slot {
  at::Tensor host_crops;    // [max_batch, size, size, 3] uint8, pinned
  at::Tensor device_crops;  // the same on the device
  at::Tensor host_rows;     // [max_batch, embedding_dim] float32, pinned
  Event copied;             // the crops are on the device
  Event done;               // the rows are on the host
};

// Two slots: while the crops of one batch cross the bus, the device computes
// the other one; more would only wait longer.
// Thread rule: Take and Give may be called from many threads at once; a slot is
// its taker's alone.
class Staging {
 public:
  static constexpr int kSlots = 2;

  // REQUIRES: the device is the current one.
  Staging(const at::Device& device, int64_t max_batch, int64_t image_size,
          int64_t embedding_dim);

  // Waits until one is free.
  Slot* Take();
  // REQUIRES: the device neither reads nor writes it any more.
  void Give(Slot* slot);

 private:
  Slot slots_[kSlots];
  base::Mutex mu_;
  base::CondVar given_;
  std::vector<Slot*> free_ ABSL_GUARDED_BY(mu_);
};

// A slot held for a scope.
class SlotLease {
 public:
  explicit SlotLease(Staging* staging)
      : staging_(staging), slot_(staging->Take()) {}
  ~SlotLease() { staging_->Give(slot_); }
  SlotLease(const SlotLease&) = delete;
  SlotLease& operator=(const SlotLease&) = delete;

  Slot* operator->() const { return slot_; }

 private:
  Staging* const staging_;
  Slot* const slot_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_CUDA_STAGING_H_
