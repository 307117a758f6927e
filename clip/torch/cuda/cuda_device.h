// What is asked of CUDA outside clip/torch/cuda/. A build without CUDA answers
// too (no_cuda.cc): there are no devices.
#ifndef ZEROSHOT_CLIP_TORCH_CUDA_CUDA_DEVICE_H_
#define ZEROSHOT_CLIP_TORCH_CUDA_CUDA_DEVICE_H_

#include <memory>
#include <string>
#include <utility>

#include "clip/backend.h"
#include "clip/compute_thread.h"
#include "clip/torch/tensors.h"

namespace clip {

// Whether this build has the CUDA towers.
bool BuiltWithCuda();

// "00000000:3b:00.0", as NVML has it: domain, bus, device, function. Empty if
// CUDA does not say.
std::string CudaBusId(int index);

// Versions of CUDA as 13000 for 13.0: what the driver supports, 0 if there is
// none, and what this build needs; 0 without CUDA.
int CudaOfDriver();
int CudaOfBuild();

// Major and minor. {0, 0} if CUDA does not say.
std::pair<int, int> CudaCapability(int index);

// "NVIDIA H200", or what CUDA calls it.
std::string CudaCardName(int index);

// Whether the device's matrix units compute in bfloat16: compute capability 8.0
// and above. REQUIRES: the device is there.
bool CudaHasBFloat16(int index);

// Waits for all that is queued on the device. Returns what is wrong with it if
// it will compute nothing any more: a fault of a kernel, of its memory or of
// the bus, which CUDA then repeats for ever. Else nothing: an error of one
// call, such as one that lacked memory, is forgotten.
std::string CudaFault(int index);

// Settings of LibTorch that hold for all devices; before the first tower.
void SetUpCuda();

// The backend for loader's device, a GPU. Borrows the loader for the call.
// `may_be_less`: its warm-up takes a smaller max_batch where that is as fast.
// REQUIRES: on the compute thread. Throws what LibTorch throws.
std::unique_ptr<Backend> MakeCudaBackend(
    const WeightLoader& loader, int max_batch, bool may_be_less,
    std::shared_ptr<ComputeThread> compute);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_CUDA_CUDA_DEVICE_H_
