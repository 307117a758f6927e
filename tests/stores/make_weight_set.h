// A small weight set for tests of what keeps them.
#ifndef ZEROSHOT_TESTS_STORES_MAKE_WEIGHT_SET_H_
#define ZEROSHOT_TESTS_STORES_MAKE_WEIGHT_SET_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "stores/weight_set.h"

namespace stores {

// Two classes, two dimensions, told apart by the id.
inline std::shared_ptr<const WeightSet> MakeWeightSet(const std::string& id) {
  auto set = std::make_shared<WeightSet>();
  set->id = id;
  set->model_fingerprint = "model";
  set->precision = "fp32";
  set->class_names = {"cat", "dog"};
  set->embedding_dim = 2;
  set->weights = {1, 0, 0, static_cast<float>(id[0])};
  set->templates = {"a {}"};
  set->num_prompts = 2;
  set->num_tokens = 10;
  set->create_time = absl::FromUnixSeconds(1'700'000'000);
  return set;
}

}  // namespace stores

#endif  // ZEROSHOT_TESTS_STORES_MAKE_WEIGHT_SET_H_
