// The one place where exceptions end: LibTorch's and the standard library's
// become statuses.
#ifndef ZEROSHOT_CLIP_TORCH_CAUGHT_H_
#define ZEROSHOT_CLIP_TORCH_CAUGHT_H_

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/InferenceMode.h>

#include "absl/status/status.h"
#include "clip/compute_thread.h"

namespace clip {

// What the exception that is being handled means for a call on `device`:
//   ResourceExhausted  memory ran out, the device's or the host's
//   Unavailable        the device is lost: "device cuda:1 is lost: ..."
//   Internal           anything else
// The device is idle when it returns: nothing that the failed call queued still
// reads or writes what the caller frees next. REQUIRES: in a catch clause.
absl::Status StatusOfException(const at::Device& device);

// Calls `f`, which returns a Status or StatusOr, on this thread as LibTorch
// wants it: without gradients, on `device`.
template <typename F>
auto Caught(const at::Device& device, const F& f) -> decltype(f()) {
  try {
    const c10::InferenceMode inference;
    const c10::OptionalDeviceGuard guard(
        device.is_cuda() ? c10::optional<at::Device>(device) : c10::nullopt);
    return f();
  } catch (...) {
    return StatusOfException(device);
  }
}

// Caught on the compute thread.
template <typename F>
auto Guarded(ComputeThread* compute, const at::Device& device, const F& f)
    -> decltype(f()) {
  decltype(f()) result = absl::UnknownError("not computed");
  compute->Run([&] { result = Caught(device, f); });
  return result;
}

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_CAUGHT_H_
