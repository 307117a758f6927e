#include "tests/parity/golden_models.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/testing/checkpoint_files.h"
#include "tests/testing/encode_text.h"
#include "tests/testing/random_tensors.h"
#include "tests/testing/temporary_folder.h"

namespace clip::testing {

using nlohmann::json;

const std::vector<std::string>& GoldenModels() {
  static const auto* names =
      new std::vector<std::string>{"openai_vit",
                                   "openai_resnet",
                                   "hugging_face_quick_gelu",
                                   "hugging_face_gelu_sharded",
                                   "open_clip_vit_gelu",
                                   "open_clip_both_ways",
                                   "open_clip_resnet"};
  return *names;
}

json ReadGolden(const std::string& name) {
  std::ifstream file(
      absl::StrCat(ZEROSHOT_SOURCE_DIR "/tests/testdata/golden/", name));
  return json::parse(file);
}

absl::StatusOr<std::unique_ptr<Model>> LoadGolden(const json& golden,
                                                  const std::string& name,
                                                  const ModelOptions& options) {
  const ::testing::TemporaryFolder folder;
  const std::string path = folder.path() + "/" + name;
  WriteGolden(golden, path);
  return Model::Load(path, options);
}

Rows EncodeCrops(Model& model, const json& golden) {
  std::vector<std::vector<uint8_t>> crops;
  const CropShape& shape = model.preprocessing().crop;
  for (const json& seed : golden["crop_seeds"]) {
    std::vector<uint8_t> crop = RandomCrop(golden["image_size"], seed);
    if (shape.resize == ResizeMode::kPatches) {
      const auto grid = static_cast<uint8_t>(shape.side / shape.patch);
      const uint8_t head[] = {grid, 0, grid, 0};
      crop.insert(crop.begin(), std::begin(head), std::end(head));
    }
    crops.push_back(std::move(crop));
  }
  const auto rows = model.EncodeImages(
      std::vector<absl::Span<const uint8_t>>(crops.begin(), crops.end()));
  EXPECT_TRUE(rows.ok()) << rows.status();
  return ToRows(*rows, model.info().embedding_dim);
}

Rows EncodeSequences(Model& model, const json& golden) {
  const auto sequences =
      golden["sequences"].get<std::vector<std::vector<int32_t>>>();
  const auto rows = EncodeText(model, sequences);
  EXPECT_TRUE(rows.ok()) << rows.status();
  return ToRows(*rows, model.info().embedding_dim);
}

Rows ToRows(const std::vector<float>& flat, int width) {
  Rows rows;
  for (size_t i = 0; i < flat.size(); i += width)
    rows.emplace_back(flat.begin() + i, flat.begin() + i + width);
  return rows;
}

float Dot(const std::vector<float>& a, const std::vector<float>& b) {
  float sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

size_t Best(const std::vector<float>& row) {
  return std::max_element(row.begin(), row.end()) - row.begin();
}

}  // namespace clip::testing
