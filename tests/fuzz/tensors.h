// What must be true of tensors that a reader returned.
#ifndef ZEROSHOT_TESTS_FUZZ_TENSORS_H_
#define ZEROSHOT_TESTS_FUZZ_TENSORS_H_

#include "clip/checkpoint/tensor_view.h"
#include "tests/fuzz/fuzz.h"

namespace fuzz {

inline void CheckTensors(const clip::TensorMap& tensors) {
  for (const auto& [name, tensor] : tensors) {
    FUZZ_CHECK(clip::TensorByteSize(tensor.dtype, tensor.shape) ==
               static_cast<int64_t>(tensor.bytes.size()));
    // Reads every byte.
    volatile uint8_t sum = 0;
    for (const uint8_t byte : tensor.bytes) sum = sum ^ byte;
  }
}

}  // namespace fuzz

#endif  // ZEROSHOT_TESTS_FUZZ_TENSORS_H_
