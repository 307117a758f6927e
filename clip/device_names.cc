#include "clip/device_names.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace clip {
namespace {

constexpr absl::string_view kCuda = "cuda:";

absl::Status NotAllowed(absl::string_view asked, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("device '", asked, "': ", why));
}

std::string GpuName(int index) { return absl::StrCat(kCuda, index); }

}  // namespace

absl::StatusOr<std::vector<std::string>> DeviceNames(absl::string_view asked,
                                                     int gpus) {
  if (asked == "cpu" || (asked == "auto" && gpus == 0)) return {{"cpu"}};
  std::vector<std::string> names;
  const auto missing = [&] {
    return absl::FailedPreconditionError(absl::StrCat(
        "device '", asked, "': this machine and build have ", gpus,
        " CUDA devices",
        gpus > 0 ? "" : " (they need NVIDIA's driver and a build with CUDA)"));
  };
  if (asked == "auto" || asked == "cuda") {
    if (gpus == 0) return missing();
    for (int i = 0; i < gpus; ++i) names.push_back(GpuName(i));
    return names;
  }
  constexpr absl::string_view kAllowed =
      "it must be auto, cpu, cuda or cuda:N[,N...]";
  absl::string_view indices = asked;
  if (!absl::ConsumePrefix(&indices, kCuda)) return NotAllowed(asked, kAllowed);
  bool there = true;
  for (absl::string_view text : absl::StrSplit(indices, ',')) {
    int index = 0;
    if (text.empty() || !absl::ascii_isdigit(text[0]) ||
        !absl::SimpleAtoi(text, &index)) {
      return NotAllowed(asked, kAllowed);
    }
    there = there && index < gpus;
    names.push_back(GpuName(index));
    if (std::count(names.begin(), names.end(), names.back()) > 1) {
      return NotAllowed(asked, absl::StrCat(names.back(), " is named twice"));
    }
  }
  if (!there) return missing();
  return names;
}

std::string WhyNoGpu(int driver, int needed) {
  const auto version = [](int cuda) {
    return absl::StrCat(cuda / 1000, ".", cuda % 1000 / 10);
  };
  if (driver == 0) {
    return "there is no driver of NVIDIA's; a container sees it with "
           "--gpus all";
  }
  if (driver / 1000 < needed / 1000) {
    return absl::StrCat("the driver supports CUDA ", version(driver),
                        ", this build needs ", version(needed),
                        ": install NVIDIA's driver 580 or newer, or on "
                        "data-centre cards cuda-compat-13-0");
  }
  return "the driver shows no GPU; look at nvidia-smi and at "
         "CUDA_VISIBLE_DEVICES";
}

std::string WhyNotThisGpu(int major, int minor) {
  constexpr int kMajor = 7, kMinor = 5;  // cmake/Cuda.cmake
  if (major > kMajor || (major == kMajor && minor >= kMinor)) return "";
  return absl::StrCat("its compute capability is ", major, ".", minor,
                      ", this build has code for ", kMajor, ".", kMinor,
                      " (Turing) and newer");
}

std::string JoinDeviceNames(const std::vector<std::string>& names) {
  std::string joined = names[0];
  for (size_t i = 1; i < names.size(); ++i) {
    absl::string_view index = names[i];
    absl::ConsumePrefix(&index, kCuda);
    absl::StrAppend(&joined, ",", index);
  }
  return joined;
}

}  // namespace clip
