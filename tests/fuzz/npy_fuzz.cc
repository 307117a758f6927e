// Weight-set files to import: NumPy's .npy, and safetensors with class names.
// Of a .npy the shape says how many classes and dimensions are asked for.
#include <cmath>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "zeroshot/npy.h"
#include "zeroshot/weight_set_file.h"

namespace {

constexpr int64_t kMaxClasses = 64;

void CheckImport(const zeroshot::FileToImport& file, int dim) {
  clip::ModelInfo model;
  model.fingerprint = "model";
  model.embedding_dim = dim;
  zeroshot::BuildLimits limits;
  limits.max_classes = kMaxClasses;
  const auto imported = zeroshot::ReadWeightSetFile(file, model, limits);
  if (absl::IsFailedPrecondition(imported.status())) {
    fuzz::CheckMessage(imported.status().message());
    return;
  }
  if (!imported.ok()) return fuzz::CheckRefusal(imported.status());
  const stores::WeightSet& set = *imported->set;
  FUZZ_CHECK(set.weights.size() == size_t{1} * set.num_rows() * dim);
  for (const float x : set.weights) FUZZ_CHECK(std::abs(x) < 1.01f);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view file = fuzz::View(data, size);
  if (!zeroshot::IsNpy(file)) {
    CheckImport({file, {"a", "b"}, zeroshot::Layout::kUnknown, ""}, 2);
    CheckImport({file, {}, zeroshot::Layout::kUnknown, ""}, 2);
    return 0;
  }
  const auto array = zeroshot::ParseNpy(file);
  if (!array.ok()) {
    fuzz::CheckRefusal(array.status());
    return 0;
  }
  FUZZ_CHECK(array->bytes.data() + array->bytes.size() ==
             file.data() + file.size());
  if (array->shape.size() != 2) return 0;
  for (const int classes : {0, 1}) {
    const int64_t count = array->shape[classes],
                  dim = array->shape[1 - classes];
    if (count > kMaxClasses || dim > 4096) continue;
    CheckImport({file, std::vector<std::string>(count, "name"),
                 classes == 0 ? zeroshot::Layout::kClassRows
                              : zeroshot::Layout::kClassColumns,
                 ""},
                static_cast<int>(dim));
  }
  return 0;
}
