// What every tier must do: a parameterised suite (weight_store_suite.cc), run
// with
//   INSTANTIATE_TEST_SUITE_P(MyStore, WeightStoreTest,
//   ::testing::Values(&MakeMyStore));
// The stores must be empty and have room for at least 64 KiB.
#ifndef ZEROSHOT_TESTS_STORES_WEIGHT_STORE_SUITE_H_
#define ZEROSHOT_TESTS_STORES_WEIGHT_STORE_SUITE_H_

#include <memory>

#include "gtest/gtest.h"
#include "stores/weight_store.h"

namespace stores {

class WeightStoreTest
    : public ::testing::TestWithParam<std::unique_ptr<WeightStore> (*)()> {
 protected:
  std::unique_ptr<WeightStore> store_ = GetParam()();
};

}  // namespace stores

#endif  // ZEROSHOT_TESTS_STORES_WEIGHT_STORE_SUITE_H_
