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

namespace {

int Gpus() {
  return BuiltWithCuda() && at::hasCUDA()
             ? at::detail::getCUDAHooks().deviceCount()
             : 0;
}

}  // namespace

absl::StatusOr<std::vector<at::Device>> ChooseDevices(const std::string& name,
                                                      std::string* why_no_gpu) {
  const absl::StatusOr<std::vector<std::string>> names =
      DeviceNames(name, Gpus());
  if (absl::IsFailedPrecondition(names.status()) && !BuiltWithCuda()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "device '", name,
        "': this build computes on the CPU only; the build with CUDA is the "
        "preset 'cuda' (scripts/setup --cuda)"));
  }
  std::string why;  // there is no GPU to be had
  if (BuiltWithCuda() && Gpus() == 0)
    why = WhyNoGpu(CudaOfDriver(), CudaOfBuild());
  if (absl::IsFailedPrecondition(names.status()) && !why.empty())
    return absl::FailedPreconditionError(
        absl::StrCat("device '", name, "': ", why));
  if (!names.ok()) return names.status();
  std::vector<at::Device> devices;
  for (const std::string& each : *names) {
    const at::Device device(each);
    if (device.is_cuda()) {
      const auto [major, minor] = CudaCapability(device.index());
      // A GPU that does not say is no matter for here: loading will tell.
      const std::string wrong = major == 0 ? "" : WhyNotThisGpu(major, minor);
      if (!wrong.empty()) {
        why = absl::StrCat(each, " (", CudaCardName(device.index()),
                           ") cannot be used: ", wrong);
        if (name != "auto") return absl::FailedPreconditionError(why);
        continue;
      }
    }
    devices.push_back(device);
  }
  if (devices.empty()) devices.push_back(at::kCPU);
  if (why_no_gpu != nullptr && name == "auto" && devices[0].is_cpu())
    *why_no_gpu = why;
  return devices;
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
      " it must be auto (here ", best, "), ", absl::StrJoin(allowed, ", ")));
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
