// Models of other families than CLIP, from whole folders: tokens, embeddings of
// images and texts, and probabilities equal those of the folder's own library
// (tools/golden/families.py).
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "clip/checkpoint/checkpoint.h"
#include "clip/image.h"
#include "clip/model.h"
#include "clip/token_trie.h"
#include "clip/torch/text_tower.h"
#include "clip/torch/vision_tower.h"
#include "tests/parity/golden_models.h"
#include "tests/testing/checkpoint_files.h"
#include "tests/testing/encode_text.h"
#include "tests/testing/random_tensors.h"
#include "tests/testing/temporary_folder.h"

namespace clip {
namespace {

using nlohmann::json;
using testing::Dot;
using testing::Rows;
using testing::ToRows;

constexpr float kEmbeddingBar = 1e-5f;
constexpr float kProbabilityBar = 1e-4f;

class FamiliesTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    golden_ =
        testing::ReadGolden(absl::StrCat("families/", GetParam(), ".json"));
    model_ = Load("fp32");
    ASSERT_NE(model_, nullptr);
  }

  std::unique_ptr<Model> Load(const std::string& precision) {
    auto model = testing::LoadGolden(
        golden_, GetParam(),
        {.device = "cpu", .precision = precision, .max_batch = 3});
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? *std::move(model) : nullptr;
  }

  // Of the texts that the reference made embeddings of.
  Rows EncodeTexts(Model& model) {
    std::vector<std::vector<int32_t>> sequences;
    for (size_t i = 0; i < golden_["expected"]["text_embeddings"].size(); ++i) {
      const std::string text = golden_["texts"][i][0];
      const auto ids = model.tokenizer().Encode(text);
      EXPECT_TRUE(ids.ok()) << ids.status();
      sequences.push_back(*ids);
    }
    const auto rows = testing::EncodeText(model, sequences);
    EXPECT_TRUE(rows.ok()) << rows.status();
    return ToRows(*rows, model.info().embedding_dim);
  }

  Rows EncodeImages() {
    std::vector<std::vector<uint8_t>> crops;
    for (const std::string name : golden_["image_files"]) {
      std::ifstream in(ZEROSHOT_SOURCE_DIR "/tests/testdata/images/" + name,
                       std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(in), {}};
      auto crop = DecodeAndCrop(bytes, model_->preprocessing().crop);
      EXPECT_TRUE(crop.ok()) << name << ": " << crop.status();
      crops.push_back(*std::move(crop));
    }
    const auto rows = model_->EncodeImages(
        std::vector<absl::Span<const uint8_t>>(crops.begin(), crops.end()));
    EXPECT_TRUE(rows.ok()) << rows.status();
    return ToRows(*rows, model_->info().embedding_dim);
  }

  void ExpectRowsNear(const Rows& found, const std::string& expected_name,
                      float bar) {
    const Rows expected = golden_["expected"][expected_name];
    ASSERT_EQ(found.size(), expected.size());
    float worst = 0;
    for (size_t i = 0; i < found.size(); ++i) {
      ASSERT_EQ(found[i].size(), expected[i].size());
      for (size_t j = 0; j < found[i].size(); ++j) {
        const float distance = std::abs(found[i][j] - expected[i][j]);
        ASSERT_LE(distance, bar)
            << expected_name << ", row " << i << ", column " << j;
        worst = std::max(worst, distance);
      }
    }
    std::cout << "  " << expected_name << ": worst difference " << worst
              << " of " << bar << "\n";
  }

  json golden_;
  std::unique_ptr<Model> model_;
};

TEST_P(FamiliesTest, TokensEqualTheLibrarys) {
  const size_t context = golden_["context"];
  EXPECT_EQ(model_->info().context_length, context);
  for (const json& text : golden_["texts"]) {
    const auto ids = model_->tokenizer().Encode(text[0].get<std::string>());
    ASSERT_TRUE(ids.ok()) << ids.status();
    const auto expected = text[1].get<std::vector<int32_t>>();
    EXPECT_EQ(*ids, expected) << text[0];
  }
}

TEST_P(FamiliesTest, ImageEmbeddingsEqualTheLibrarys) {
  ExpectRowsNear(testing::EncodeCrops(*model_, golden_), "image_embeddings",
                 kEmbeddingBar);
}

TEST_P(FamiliesTest, ImagesOfAllShapesAreSeenAsByTheLibrary) {
  ExpectRowsNear(EncodeImages(), "file_embeddings", kEmbeddingBar);
}

TEST_P(FamiliesTest, TextEmbeddingsEqualTheLibrarys) {
  ExpectRowsNear(EncodeTexts(*model_), "text_embeddings", kEmbeddingBar);
}

TEST_P(FamiliesTest, ProbabilitiesEqualTheLibrarys) {
  const Head head = model_->head();
  const json& expected = golden_["expected"];
  EXPECT_NEAR(head.scale, expected["logit_scale"].get<float>(), 1e-3);
  const bool sigmoid = !expected["logit_bias"].is_null();
  ASSERT_EQ(head.score_function == ScoreFunction::kSigmoid, sigmoid);
  if (sigmoid) {
    EXPECT_NEAR(head.bias, expected["logit_bias"].get<float>(), 1e-5);
  }
  const Rows texts = EncodeTexts(*model_);
  Rows probabilities;
  for (const std::vector<float>& image :
       testing::EncodeCrops(*model_, golden_)) {
    std::vector<float> row;
    for (const std::vector<float>& text : texts)
      row.push_back(head.scale * Dot(image, text) + head.bias);
    const float highest = *std::max_element(row.begin(), row.end());
    float sum = 0;
    for (float& x : row) {
      x = sigmoid ? 1 / (1 + std::exp(-x)) : std::exp(x - highest);
      sum += x;
    }
    if (!sigmoid) {
      for (float& x : row) x /= sum;
    }
    const Rows all = expected["probabilities"];
    EXPECT_EQ(testing::Best(row), testing::Best(all[probabilities.size()]));
    probabilities.push_back(std::move(row));
  }
  ExpectRowsNear(probabilities, "probabilities", kProbabilityBar);
}

TEST_P(FamiliesTest, LowerPrecisionsStayCloseToFp32) {
  const Rows images = testing::EncodeCrops(*model_, golden_),
             texts = EncodeTexts(*model_);
  for (const auto& [precision, bar] :
       {std::pair{"bf16", 0.999f}, std::pair{"int8", 0.98f}}) {
    const auto model = Load(precision);
    ASSERT_NE(model, nullptr);
    const Rows low_images = testing::EncodeCrops(*model, golden_),
               low_texts = EncodeTexts(*model);
    float worst = 1;
    for (size_t i = 0; i < images.size(); ++i)
      worst = std::min(worst, Dot(images[i], low_images[i]));
    for (size_t i = 0; i < texts.size(); ++i)
      worst = std::min(worst, Dot(texts[i], low_texts[i]));
    std::cout << "  " << precision << ": worst cosine to fp32 " << worst
              << "\n";
    EXPECT_GE(worst, bar) << precision;
  }
}

// The towers for any device, which CUDA takes where its own do not fit.
TEST_P(FamiliesTest, TowersForAnyDeviceSayTheSame) {
  const ::testing::TemporaryFolder folder;
  const std::string path = folder.path() + "/model";
  testing::WriteGolden(golden_, path);
  const auto checkpoint = ReadCheckpoint(path);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const Architecture& all = checkpoint->architecture;
  const WeightLoader loader(*checkpoint, {});
  const c10::InferenceMode inference;
  const auto rows = [](const at::Tensor& embeddings) {
    const at::Tensor unit = UnitRows(embeddings).contiguous();
    return ToRows(
        {unit.data_ptr<float>(), unit.data_ptr<float>() + unit.numel()},
        static_cast<int>(unit.size(1)));
  };
  std::vector<at::Tensor> crops;
  for (const json& seed : golden_["crop_seeds"]) {
    std::vector<uint8_t> crop = testing::RandomCrop(all.image_size, seed);
    crops.push_back(at::from_blob(crop.data(),
                                  {1, all.image_size, all.image_size, 3},
                                  at::kByte)
                        .clone());
  }
  ExpectRowsNear(rows(MakeVitTower(loader)->Encode(at::cat(crops))),
                 "image_embeddings", kEmbeddingBar);
  std::vector<std::vector<int32_t>> sequences;
  for (size_t i = 0; i < golden_["expected"]["text_embeddings"].size(); ++i) {
    sequences.push_back(
        *model_->tokenizer().Encode(golden_["texts"][i][0].get<std::string>()));
  }
  std::vector<absl::Span<const int32_t>> tokens(sequences.begin(),
                                                sequences.end());
  for (auto& sequence : tokens) {
    if (all.text_mask != TextMask::kCausal) continue;
    if (all.text_pool == TextPool::kHighest) sequence = CutAtPool(sequence);
    if (all.text_pool == TextPool::kEnd)
      sequence = CutAtPool(sequence, all.end_token);
  }
  const auto step = TrieSteps(tokens, 1 << 20).Next();
  const Rows ends = rows(MakeSequenceTextTower(loader)->Encode(step->trie));
  Rows texts(tokens.size());
  for (const TextStep::Member& member : step->members)
    texts[member.sequence] = ends[member.end];
  ExpectRowsNear(texts, "text_embeddings", kEmbeddingBar);
}

// A text's row does not depend on its company, nor on which texts begin alike.
TEST_P(FamiliesTest, ATextAloneHasTheRowThatItHasAmongOthers) {
  const Rows together = EncodeTexts(*model_);
  for (const size_t i : {size_t{0}, size_t{2}, together.size() - 1}) {
    const std::string text = golden_["texts"][i][0];
    const auto alone =
        testing::EncodeText(*model_, {*model_->tokenizer().Encode(text)});
    ASSERT_TRUE(alone.ok()) << alone.status();
    for (size_t j = 0; j < alone->size(); ++j)
      ASSERT_NEAR((*alone)[j], together[i][j], 2e-6f) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, FamiliesTest,
    ::testing::Values(
        "siglip", "siglip2", "open_clip_siglip", "open_clip_siglip2",
        "open_clip_pe_core", "open_clip_pe_core_bigg", "open_clip_eva01",
        "open_clip_eva02", "open_clip_mobileclip_b", "open_clip_mobileclip2_l",
        "open_clip_metaclip2", "open_clip_clipa", "open_clip_mlp_head",
        "metaclip2", "open_clip_coca", "open_clip_coca_narrow",
        "siglip2_naflex", "open_clip_xlm_roberta", "open_clip_biomed"),
    [](const auto& info) { return info.param; });

}  // namespace
}  // namespace clip
