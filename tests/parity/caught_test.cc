// What LibTorch throws, as the statuses that callers act on.
#include "clip/torch/caught.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>
#include <stdexcept>
#include <string>

namespace clip {
namespace {

using ::testing::HasSubstr;

absl::Status Thrown(const std::string& message) {
  return Caught(at::kCPU,
                [&]() -> absl::Status { TORCH_CHECK(false, message); });
}

// Each as it was seen. Work is halved for a ResourceExhausted only.
TEST(CaughtTest, MemoryThatRanOutIsToldByItsSigns) {
  for (const char* message :
       {"CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling "
        "`cublasCreate(handle)`",
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: "
        "can't allocate memory: you tried to allocate 8 bytes",
        "could not create a primitive",
        // On a MIG slice, and in a container that may not ask NVML.
        "NVML_SUCCESS == r INTERNAL ASSERT FAILED at "
        "\"../c10/cuda/CUDACachingAllocator.cpp\":1165, please report a bug "
        "to PyTorch. ",
        "NVML_SUCCESS == DriverAPI::get()->nvmlInit_v2_() INTERNAL ASSERT "
        "FAILED at \"../c10/cuda/CUDACachingAllocator.cpp\":1135, please "
        "report a bug to PyTorch. "}) {
    const absl::Status status = Thrown(message);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }
  EXPECT_EQ(
      Caught(at::kCPU, []() -> absl::Status { throw std::bad_alloc(); }).code(),
      absl::StatusCode::kResourceExhausted);
}

TEST(CaughtTest, AnythingElseIsInternal) {
  for (const char* message :
       {"CUDA error: no kernel image is available for execution on the device",
        "mat1 and mat2 shapes cannot be multiplied (1x2 and 3x4)"}) {
    EXPECT_EQ(Thrown(message).code(), absl::StatusCode::kInternal);
  }
  EXPECT_EQ(Caught(at::kCPU,
                   []() -> absl::Status { throw std::runtime_error("odd"); })
                .code(),
            absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace clip
