// cuda_device.h for builds without CUDA. ChooseDevices lets no GPU through, so
// that nothing is asked but the first.
#include "clip/torch/cuda/cuda_device.h"

namespace clip {

bool BuiltWithCuda() { return false; }
std::string CudaBusId(int) { return ""; }
int CudaOfDriver() { return 0; }
int CudaOfBuild() { return 0; }
std::pair<int, int> CudaCapability(int) { return {0, 0}; }
std::string CudaCardName(int) { return ""; }
bool CudaHasBFloat16(int) { return false; }
std::string CudaFault(int) { return ""; }
void SetUpCuda() {}
std::unique_ptr<Backend> MakeCudaBackend(const WeightLoader&, int, bool,
                                         std::shared_ptr<ComputeThread>) {
  return nullptr;
}

}  // namespace clip
