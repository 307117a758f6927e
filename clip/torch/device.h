// What ModelOptions say about where and how to compute, made definite.
#ifndef ZEROSHOT_CLIP_TORCH_DEVICE_H_
#define ZEROSHOT_CLIP_TORCH_DEVICE_H_

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "clip/torch/cpu_precision.h"

namespace clip {

// What clip/device_names.h makes of `name` here. At least one; if the first is
// the CPU, no other. FailedPrecondition also for a build without towers for
// CUDA, and for a GPU that the build has no code for, which auto passes over. A
// build for GPUs says in `why_no_gpu`, unless it is null, why auto takes the
// CPU.
absl::StatusOr<std::vector<at::Device>> ChooseDevices(
    const std::string& name, std::string* why_no_gpu = nullptr);

// `name`, or for auto the fastest that keeps the answers: fp16 on CUDA, bf16 on
// CPUs that have it in hardware, else fp32. InvalidArgument for one that the
// device does not have: int8 on CUDA, bf16 on a GPU whose matrix units lack it.
absl::StatusOr<std::string> ChoosePrecision(const std::string& name,
                                            const at::Device& device);

// The two kinds of towers' names for what ChoosePrecision returned: of those on
// the CPU that pack their weights, and of all others.
CpuPrecision CpuPrecisionOf(const std::string& name);
at::ScalarType TypeFor(const std::string& precision, const at::Device& device);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_DEVICE_H_
