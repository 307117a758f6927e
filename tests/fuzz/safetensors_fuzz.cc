// A safetensors file.
#include "clip/safetensors.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto tensors = clip::ParseSafetensors({data, size});
  if (tensors.ok()) {
    fuzz::CheckTensors(*tensors);
  } else {
    fuzz::CheckRefusal(tensors.status());
  }
  return 0;
}
