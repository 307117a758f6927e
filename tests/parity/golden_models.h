// The models that tools/golden/models.py had the reference compute with, made
// again from their seeds, and what it found.
#ifndef ZEROSHOT_TESTS_PARITY_GOLDEN_MODELS_H_
#define ZEROSHOT_TESTS_PARITY_GOLDEN_MODELS_H_

#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "clip/model.h"

namespace clip::testing {

using Rows = std::vector<std::vector<float>>;

// The names of all goldens of models, one for each format and architecture.
const std::vector<std::string>& GoldenModels();

// tests/testdata/golden/`name`.
nlohmann::json ReadGolden(const std::string& name);

// The model of a golden, through a file called `name`.
absl::StatusOr<std::unique_ptr<Model>> LoadGolden(const nlohmann::json& golden,
                                                  const std::string& name,
                                                  const ModelOptions& options);

// Of the golden's crops and token sequences.
Rows EncodeCrops(Model& model, const nlohmann::json& golden);
Rows EncodeSequences(Model& model, const nlohmann::json& golden);

Rows ToRows(const std::vector<float>& flat, int width);
float Dot(const std::vector<float>& a, const std::vector<float>& b);
// The column of the highest value.
size_t Best(const std::vector<float>& row);

}  // namespace clip::testing

#endif  // ZEROSHOT_TESTS_PARITY_GOLDEN_MODELS_H_
