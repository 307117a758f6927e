#include "clip/torch/cuda/cuda_device.h"

#include <ATen/Context.h>
#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>

#include <exception>
#include <utility>

#include "absl/strings/str_format.h"

namespace clip {

bool BuiltWithCuda() { return true; }

std::string CudaBusId(int index) {
  int domain = 0, bus = 0, device = 0;
  for (const auto& [attribute, value] :
       {std::pair(cudaDevAttrPciDomainId, &domain),
        {cudaDevAttrPciBusId, &bus},
        {cudaDevAttrPciDeviceId, &device}}) {
    if (cudaDeviceGetAttribute(value, attribute, index) != cudaSuccess)
      return "";
  }
  return absl::StrFormat("%08x:%02x:%02x.0", domain, bus, device);
}

int CudaOfDriver() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

int CudaOfBuild() { return CUDART_VERSION; }

std::pair<int, int> CudaCapability(int index) {
  int major = 0, minor = 0;
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor,
                             index) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor,
                             index) != cudaSuccess) {
    return {0, 0};
  }
  return {major, minor};
}

std::string CudaCardName(int index) {
  cudaDeviceProp properties;
  return cudaGetDeviceProperties(&properties, index) == cudaSuccess
             ? properties.name
             : "a GPU that CUDA has no name for";
}

bool CudaHasBFloat16(int index) { return CudaCapability(index).first >= 8; }

std::string CudaFault(int index) {
  // CUDA's own calls, which do not throw: this runs while an exception is
  // handled.
  int before = index;
  cudaGetDevice(&before);
  cudaError_t fault = cudaSetDevice(index);
  cudaGetLastError();  // forgets an error that was of one call only
  if (fault == cudaSuccess) fault = cudaDeviceSynchronize();
  cudaGetLastError();
  // Setting a device that was never used would give it a context, and with it
  // hundreds of megabytes.
  try {
    if (before != index &&
        c10::cuda::hasPrimaryContext(static_cast<c10::DeviceIndex>(before))) {
      cudaSetDevice(before);
    }
  } catch (const std::exception&) {  // then it stays as it is
  }
  return fault == cudaSuccess ? "" : cudaGetErrorString(fault);
}

void SetUpCuda() {
  at::Context& context = at::globalContext();
  // fp32 means fp32: products and convolutions would round to TF32.
  context.setAllowTF32CuBLAS(false);
  context.setAllowTF32CuDNN(false);
  // fp16 and bf16 products are summed in float32, to the very end.
  context.setAllowFP16ReductionCuBLAS(false);
  context.setAllowBF16ReductionCuBLAS(false);
  // cuDNN's attention would plan again for every size of a batch, for longer
  // than the batch takes. Flash attention has nothing to plan.
  context.setSDPUseCuDNN(false);
}

}  // namespace clip
