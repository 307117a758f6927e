#include "clip/torch/device.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "clip/device_names.h"
#include "clip/torch/cuda/cuda_device.h"

namespace clip {

absl::StatusOr<std::vector<at::Device>> ChooseDevices(const std::string& name) {
  const int gpus = BuiltWithCuda() && at::hasCUDA()
                       ? at::detail::getCUDAHooks().deviceCount()
                       : 0;
  const absl::StatusOr<std::vector<std::string>> names =
      DeviceNames(name, gpus);
  if (absl::IsFailedPrecondition(names.status()) && !BuiltWithCuda()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "device '", name,
        "': this build computes on the CPU only; the build with CUDA is the "
        "preset 'cuda' (scripts/setup --cuda)"));
  }
  if (!names.ok()) return names.status();
  return std::vector<at::Device>(names->begin(), names->end());
}

absl::StatusOr<std::string> ChoosePrecision(const std::string& name,
                                            const at::Device& device) {
  const std::string best = device.is_cuda()   ? "fp16"
                           : CpuHasBFloat16() ? "bf16"
                                              : "fp32";
  if (name == "auto") return best;
  std::vector<std::string> allowed = {"fp32", "bf16", "int8"};
  if (device.is_cuda()) {
    allowed = {"fp16", "bf16", "fp32"};
    if (!CudaHasBFloat16(device.index())) allowed.erase(allowed.begin() + 1);
  }
  if (absl::c_linear_search(allowed, name)) return name;
  return absl::InvalidArgumentError(absl::StrCat(
      "precision '", name, "': on ", device.is_cuda() ? "CUDA" : "the CPU",
      " allowed are auto (here ", best, "), ", absl::StrJoin(allowed, ", ")));
}

CpuPrecision CpuPrecisionOf(const std::string& name) {
  if (name == "bf16") return CpuPrecision::kBf16;
  if (name == "int8") return CpuPrecision::kInt8;
  return CpuPrecision::kFp32;
}

at::ScalarType TypeFor(const std::string& precision, const at::Device& device) {
  if (precision == "fp16") return at::kHalf;
  if (precision == "fp32") return at::kFloat;
  return device.is_cuda() || CpuHasBFloat16() ? at::kBFloat16 : at::kFloat;
}

}  // namespace clip
