// Files of a small CLIP's weights as trainers write them, without LibTorch.
#ifndef ZEROSHOT_TESTS_TESTING_STATE_FILES_H_
#define ZEROSHOT_TESTS_TESTING_STATE_FILES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "clip/checkpoint/architecture.h"

namespace clip::testing {

struct StateTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};
using State = std::map<std::string, StateTensor>;

// Two layers of one head, QuickGELU, for images of 16 x 16, with a vocabulary
// of 40, so that its files are small.
Architecture SmallVit();

// Its tensors by OpenAI's names. No two numbers in it are equal.
State SmallState();

// The same by the names of transformers.
State HuggingFaceState();

State Renamed(const State& state,
              const std::function<std::string(const std::string&)>& rename);

// A .pt file that holds Dict(around) with the state dict under `key`; the state
// dict itself if `key` is empty. `around` are values as pickles.h writes them.
std::string PtFile(
    const State& state, const std::string& key = "",
    const std::vector<std::pair<std::string, std::string>>& around = {});

std::string SafetensorsFile(const State& state);

// What the architecture needs as configuration, as JSON.
std::string HuggingFaceConfig();
std::string OpenClipConfig(bool quick_gelu);

}  // namespace clip::testing

#endif  // ZEROSHOT_TESTS_TESTING_STATE_FILES_H_
