#include "zeroshot/weight_set.h"

#include <sys/mman.h>

namespace zeroshot {

int64_t WeightSet::SizeBytes() const {
  int64_t bytes = sizeof(WeightSet) + weights.size() * sizeof(float);
  const auto add = [&bytes](const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      bytes += sizeof(std::string) + text.size();
    }
  };
  add(class_names);
  add(templates);
  for (const std::vector<std::string>& prompts : own_prompts) {
    bytes += sizeof(prompts);
    add(prompts);
  }
  return bytes;
}

std::vector<float> MakeWeights(size_t count) {
  constexpr uintptr_t kHugePage = 2 << 20;
  std::vector<float> weights;
  weights.reserve(count);
  // Asked for before the memory is touched: pages come with the first write.
  const auto begin = reinterpret_cast<uintptr_t>(weights.data());
  const uintptr_t first = (begin + kHugePage - 1) & ~(kHugePage - 1);
  const uintptr_t end = (begin + count * sizeof(float)) & ~(kHugePage - 1);
  if (first < end) {
    // A refusal leaves small pages, which do as well.
    madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
  }
  weights.resize(count);
  return weights;
}

}  // namespace zeroshot
