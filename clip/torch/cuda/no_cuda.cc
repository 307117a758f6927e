// cuda_device.h for builds without CUDA. ChooseDevice lets no GPU through, so
// that nothing is asked but the first.
#include "clip/torch/cuda/cuda_device.h"

namespace clip {

bool BuiltWithCuda() { return false; }
std::string CudaBusId(int) { return ""; }
bool CudaHasBFloat16(int) { return false; }
std::string CudaFault(int) { return ""; }
void SetUpCuda() {}
std::unique_ptr<Engine> MakeCudaEngine(const WeightLoader&, int,
                                       std::shared_ptr<ComputeThread>) {
  return nullptr;
}

}  // namespace clip
