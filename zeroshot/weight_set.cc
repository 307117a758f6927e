#include "zeroshot/weight_set.h"

namespace zeroshot {

int64_t WeightSet::SizeBytes() const {
  int64_t bytes = sizeof(WeightSet) + weights.size() * sizeof(float);
  for (const std::string& name : class_names) {
    bytes += sizeof(std::string) + name.size();
  }
  return bytes;
}

}  // namespace zeroshot
