// Embeddings, weight sets and probabilities equal the reference's, for every
// checkpoint format and architecture (tools/golden/models.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "clip/clip_tokenizer.h"
#include "clip/model.h"
#include "tests/parity/golden_models.h"
#include "tests/testing/encode_text.h"

namespace clip {
namespace {

using nlohmann::json;
using testing::Best;
using testing::Dot;
using testing::LoadGolden;
using testing::ReadGolden;
using testing::Rows;
using testing::ToRows;

constexpr float kEmbeddingBar = 1e-5f;
constexpr float kProbabilityBar = 1e-4f;

const ModelOptions kCpuFp32 = {.device = "cpu",
                               .precision = "fp32",
                               .max_batch = 2};  // so that crops are split

// The mean of unit rows, made a unit row again.
std::vector<float> MeanDirection(const Rows& rows,
                                 const std::vector<size_t>& which) {
  std::vector<float> mean(rows[0].size());
  for (const size_t row : which) {
    for (size_t i = 0; i < mean.size(); ++i) mean[i] += rows[row][i];
  }
  const float length = std::sqrt(Dot(mean, mean));
  for (float& x : mean) x /= length;
  return mean;
}

std::vector<float> Softmax(std::vector<float> logits) {
  const float highest = *std::max_element(logits.begin(), logits.end());
  float sum = 0;
  for (float& x : logits) sum += x = std::exp(x - highest);
  for (float& x : logits) x /= sum;
  return logits;
}

void ExpectRowsNear(const Rows& found, const Rows& expected, float bar) {
  ASSERT_EQ(found.size(), expected.size());
  float worst = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].size(), expected[i].size());
    for (size_t j = 0; j < found[i].size(); ++j) {
      const float distance = std::abs(found[i][j] - expected[i][j]);
      ASSERT_LE(distance, bar) << "row " << i << ", column " << j;
      worst = std::max(worst, distance);
    }
  }
  std::cout << "  worst difference " << worst << " of " << bar << "\n";
}

class ParityTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    golden_ = ReadGolden(absl::StrCat("models/", GetParam(), ".json"));
    auto model = LoadGolden(golden_, GetParam(), kCpuFp32);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }

  Rows EncodeCrops() { return testing::EncodeCrops(*model_, golden_); }
  Rows EncodeSequences() { return testing::EncodeSequences(*model_, golden_); }

  json golden_;
  std::unique_ptr<Model> model_;
};

TEST_P(ParityTest, ImageEmbeddingsEqualTheReference) {
  ExpectRowsNear(EncodeCrops(), golden_["expected"]["image_embeddings"],
                 kEmbeddingBar);
}

TEST_P(ParityTest, TextEmbeddingsEqualTheReference) {
  ExpectRowsNear(EncodeSequences(), golden_["expected"]["text_embeddings"],
                 kEmbeddingBar);
}

TEST_P(ParityTest, ProbabilitiesAndTheBestClassEqualTheReference) {
  EXPECT_NEAR(model_->head().scale,
              golden_["expected"]["logit_scale"].get<float>(), 1e-3);
  const Rows texts = EncodeSequences();
  Rows weights;
  for (const json& members : golden_["classes"])
    weights.push_back(MeanDirection(texts, members));
  ExpectRowsNear(weights, golden_["expected"]["weights"], kEmbeddingBar);
  Rows probabilities;
  for (const std::vector<float>& image : EncodeCrops()) {
    std::vector<float> logits;
    for (const std::vector<float>& row : weights)
      logits.push_back(model_->head().scale * Dot(image, row));
    probabilities.push_back(Softmax(logits));
  }
  const Rows expected = golden_["expected"]["probabilities"];
  ExpectRowsNear(probabilities, expected, kProbabilityBar);
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_EQ(Best(probabilities[i]), Best(expected[i]));
}

INSTANTIATE_TEST_SUITE_P(AllFormats, ParityTest,
                         ::testing::ValuesIn(testing::GoldenModels()),
                         [](const auto& info) { return info.param; });

// The text tower shares beginnings; the reference encodes each prompt alone,
// padded to 77.
TEST(PromptsTest, SharedBeginningsChangeNothing) {
  const json golden = ReadGolden("prompts/tries.json");
  const auto model = LoadGolden(golden, "tries", kCpuFp32);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto sequences =
      golden["sequences"].get<std::vector<std::vector<int32_t>>>();
  const int dim = (*model)->info().embedding_dim;
  const auto together = testing::EncodeText(**model, sequences);
  ASSERT_TRUE(together.ok()) << together.status();
  ExpectRowsNear(ToRows(*together, dim), golden["expected"], kEmbeddingBar);
  Rows alone;
  for (const std::vector<int32_t>& sequence : sequences)
    alone.push_back(*testing::EncodeText(**model, {sequence}));
  ExpectRowsNear(ToRows(*together, dim), alone, 1e-6f);
}

std::vector<std::string> Lines(const std::string& file) {
  std::ifstream in(absl::StrCat(ZEROSHOT_SOURCE_DIR "/data/", file));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(PromptsTest, ImageNetsWeightSetEqualsTheReferences) {
  const json golden = ReadGolden("prompts/imagenet.json");
  const auto model = LoadGolden(golden, "imagenet", kCpuFp32);
  ASSERT_TRUE(model.ok()) << model.status();
  const std::vector<std::string> templates =
      Lines("template_sets/openai-imagenet-80.txt");
  const ClipTokenizer tokenizer;
  std::vector<std::vector<int32_t>> sequences;
  for (const std::string& name : Lines("class_sets/imagenet-1k.txt")) {
    for (const std::string& text : templates) {
      sequences.push_back(
          *tokenizer.Encode(absl::StrReplaceAll(text, {{"{}", name}})));
    }
  }
  ASSERT_EQ(sequences.size(), 80'000);
  const int dim = (*model)->info().embedding_dim;
  Rows weights(1000, std::vector<float>(dim));
  const auto positions = (*model)->EncodeText(
      sequences,
      [&](int64_t sequence, absl::Span<const float> row) {
        for (int i = 0; i < dim; ++i) weights[sequence / 80][i] += row[i];
      },
      nullptr);
  ASSERT_TRUE(positions.ok()) << positions.status();
  // 769,212 tokens without sharing, 6,160,000 with padding.
  EXPECT_GE(*positions, 328'378);
  EXPECT_LE(*positions, 332'500);
  for (std::vector<float>& row : weights) row = MeanDirection({row}, {0});
  ExpectRowsNear(weights, golden["expected"], kEmbeddingBar);
}

}  // namespace
}  // namespace clip
