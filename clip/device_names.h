// The devices that --device names.
#ifndef ZEROSHOT_CLIP_DEVICE_NAMES_H_
#define ZEROSHOT_CLIP_DEVICE_NAMES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace clip {

// One name per device, "cpu" or "cuda:N", in the order asked for, on a machine
// with `gpus` of them: auto is every GPU, else the CPU; cuda is every GPU;
// cuda:0,2 those two. They are numbered as CUDA_VISIBLE_DEVICES leaves them.
//
// InvalidArgument: another name, or a device named twice. FailedPrecondition: a
// GPU that is not there.
absl::StatusOr<std::vector<std::string>> DeviceNames(absl::string_view asked,
                                                     int gpus);

// Why this process sees no GPU, and what to do about it. `driver` and `needed`
// are versions of CUDA as cudaDriverGetVersion writes them, 13000 for 13.0:
// what the driver supports, 0 if there is none, and what the build needs.
std::string WhyNoGpu(int driver, int needed);

// What is wrong with a GPU of the compute capability `major`.`minor`: nothing,
// or that this build has no code for it.
std::string WhyNotThisGpu(int major, int minor);

// The names as one: "cpu", "cuda:0", "cuda:0,2".
std::string JoinDeviceNames(const std::vector<std::string>& names);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_DEVICE_NAMES_H_
