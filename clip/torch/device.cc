#include "clip/torch/device.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "clip/device_names.h"

namespace clip {

absl::StatusOr<std::vector<at::Device>> ChooseDevices(const std::string& name) {
  const int gpus = at::hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0;
  const absl::StatusOr<std::vector<std::string>> names =
      DeviceNames(name, gpus);
  if (!names.ok()) return names.status();
  return std::vector<at::Device>(names->begin(), names->end());
}

absl::StatusOr<std::string> ChoosePrecision(const std::string& name,
                                            const at::Device& device) {
  const std::string best = device.is_cuda()   ? "fp16"
                           : CpuHasBFloat16() ? "bf16"
                                              : "fp32";
  if (name == "auto") return best;
  const std::vector<std::string> allowed =
      device.is_cuda() ? std::vector<std::string>{"fp16", "fp32"}
                       : std::vector<std::string>{"fp32", "bf16", "int8"};
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

at::ScalarType TypeFor(const std::string& precision) {
  if (precision == "fp16") return at::kHalf;
  if (precision == "fp32" || !CpuHasBFloat16()) return at::kFloat;
  return at::kBFloat16;
}

}  // namespace clip
