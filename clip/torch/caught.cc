#include "clip/torch/caught.h"

#include <exception>
#include <new>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "clip/torch/cuda/cuda_device.h"

namespace clip {
namespace {

std::string FirstLine(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

absl::Status Exhausted(absl::string_view what) {
  return absl::ResourceExhaustedError(absl::StrCat("out of memory: ", what));
}

// Besides OutOfMemoryError, which says it by its type: the CPU's allocator,
// oneDNN, whose kernels are made as they are needed, and CUDA's libraries,
// which take memory of their own. Where LibTorch's allocator lacks memory it
// asks NVML who has it, and asserts that NVML answers, which it does not on a
// MIG slice and in some containers.
bool SaysOutOfMemory(absl::string_view what) {
  for (const absl::string_view sign :
       {"DefaultCPUAllocator", "could not create a primitive", "out of memory",
        "ALLOC_FAILED", "NVML_SUCCESS"}) {
    if (absl::StrContains(what, sign)) return true;
  }
  return false;
}

absl::Status StatusByType() {
  try {
    throw;
  } catch (const c10::OutOfMemoryError& error) {
    return Exhausted(FirstLine(error.what_without_backtrace()));
  } catch (const c10::Error& error) {
    const std::string what = FirstLine(error.what_without_backtrace());
    return SaysOutOfMemory(what)
               ? Exhausted(what)
               : absl::InternalError(absl::StrCat("LibTorch: ", what));
  } catch (const std::bad_alloc&) {
    return Exhausted("host memory");
  } catch (const std::exception& error) {
    return absl::InternalError(
        absl::StrCat("LibTorch: ", FirstLine(error.what())));
  } catch (...) {
    return absl::InternalError("LibTorch: an exception of no known type");
  }
}

}  // namespace

absl::Status StatusOfException(const at::Device& device) {
  const absl::Status status = StatusByType();
  if (!device.is_cuda()) return status;
  // c10::AcceleratorError holds any code of CUDA's, and cuBLAS and cuDNN throw
  // a plain c10::Error: whether the device is lost only it can say.
  const std::string fault = CudaFault(device.index());
  if (fault.empty()) return status;
  return absl::UnavailableError(
      absl::StrCat("device ", device.str(), " is lost: ", fault));
}

}  // namespace clip
