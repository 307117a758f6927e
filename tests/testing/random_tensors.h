// Random weights and crops from a seed, the same here and in NumPy
// (tools/golden/models.py): element i of a tensor is a hash of seed, name and
// i, so that nothing has to be committed but what the reference made of it.
#ifndef ZEROSHOT_TESTS_TESTING_RANDOM_TENSORS_H_
#define ZEROSHOT_TESTS_TESTING_RANDOM_TENSORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "clip/checkpoint/architecture.h"

namespace clip::testing {

// Values that keep a tower's activations near 1: matrices by their fan-in,
// norms around 1, variances above 0. The kind of tensor is told by its name
// and rank, in OpenAI's naming as in Hugging Face's.
std::vector<float> RandomTensor(const TensorSpec& spec, uint64_t seed);

// RGB [size, size, 3]: coloured tiles with noise, so that different crops have
// clearly different embeddings.
std::vector<uint8_t> RandomCrop(int size, uint64_t seed);

}  // namespace clip::testing

#endif  // ZEROSHOT_TESTS_TESTING_RANDOM_TENSORS_H_
