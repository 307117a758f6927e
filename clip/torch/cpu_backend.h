// The towers on the CPU.
#ifndef ZEROSHOT_CLIP_TORCH_CPU_BACKEND_H_
#define ZEROSHOT_CLIP_TORCH_CPU_BACKEND_H_

#include <memory>

#include "clip/backend.h"
#include "clip/compute_thread.h"
#include "clip/torch/cpu_precision.h"
#include "clip/torch/tensors.h"

namespace clip {

// Borrows the loader for the call. REQUIRES: on the compute thread, with the
// number of LibTorch's threads set. Throws what LibTorch throws.
std::unique_ptr<Backend> MakeCpuBackend(const WeightLoader& loader,
                                        CpuPrecision precision, int max_batch,
                                        std::shared_ptr<ComputeThread> compute);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_CPU_BACKEND_H_
