// What bf16 and int8 change, against fp32: on the demo model and on a random
// ViT-B/32. docs/performance.md states the figures that this prints.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "clip/checkpoint/architecture.h"
#include "clip/clip_tokenizer.h"
#include "clip/image.h"
#include "clip/model.h"
#include "tests/testing/checkpoint_files.h"
#include "tests/testing/encode_text.h"
#include "tests/testing/random_tensors.h"
#include "tests/testing/temporary_folder.h"

namespace clip {
namespace {

using Crops = std::vector<std::vector<uint8_t>>;
using Sequences = std::vector<std::vector<int32_t>>;

constexpr char kDemo[] = ZEROSHOT_SOURCE_DIR "/models/demo";

double Dot(const float* a, const float* b, int dim) {
  double sum = 0;
  for (int i = 0; i < dim; ++i) sum += double{a[i]} * b[i];
  return sum;
}

std::unique_ptr<Model> Load(const std::string& path,
                            const std::string& precision) {
  auto model = Model::Load(path, {.device = "cpu", .precision = precision});
  EXPECT_TRUE(model.ok()) << model.status();
  if (!model.ok()) return nullptr;
  EXPECT_EQ((*model)->info().precision, precision);
  return *std::move(model);
}

struct Encoded {
  int dim = 0;
  std::vector<float> images, texts;
};

Encoded Encode(Model& model, const Crops& crops, const Sequences& sequences) {
  Encoded encoded;
  encoded.dim = model.info().embedding_dim;
  encoded.images = *model.EncodeImages(
      std::vector<absl::Span<const uint8_t>>(crops.begin(), crops.end()));
  encoded.texts = *testing::EncodeText(model, sequences);
  return encoded;
}

// The lowest cosine between rows of the same input.
double WorstCosine(const std::vector<float>& a, const std::vector<float>& b,
                   int dim) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 1;
  for (size_t at = 0; at < a.size(); at += dim)
    worst = std::min(worst, Dot(&a[at], &b[at], dim));
  return worst;
}

void ExpectClose(const Encoded& found, const Encoded& fp32, double bar) {
  const double images = WorstCosine(found.images, fp32.images, fp32.dim),
               texts = WorstCosine(found.texts, fp32.texts, fp32.dim);
  std::cout << "  worst cosine to fp32: images " << images << ", texts "
            << texts << "\n";
  EXPECT_GE(images, bar);
  EXPECT_GE(texts, bar);
}

TEST(PrecisionTest, FullSizeEmbeddingsStayCloseToFp32) {
  const Architecture& shape = KnownArchitectures()[0].architecture;
  ASSERT_EQ(FamilyName(shape), KnownArchitectures()[0].name);
  const ::testing::TemporaryFolder folder;
  const std::string path = folder.path() + "/model.pt";
  testing::WriteStateDict({RequiredTensors(shape), 7, /*half=*/true}, path);
  Crops crops;
  for (int i = 0; i < 4; ++i)
    crops.push_back(testing::RandomCrop(shape.image_size, i));
  std::mt19937 random(3);
  Sequences sequences;
  for (int i = 0; i < 24; ++i) {
    sequences.push_back({ClipTokenizer::kStartOfText});
    for (int j = 0; j < 3 + i; ++j)
      sequences.back().push_back(random() % ClipTokenizer::kStartOfText);
    sequences.back().push_back(ClipTokenizer::kEndOfText);
  }
  const Encoded fp32 = Encode(*Load(path, "fp32"), crops, sequences);
  ExpectClose(Encode(*Load(path, "bf16"), crops, sequences), fp32, 0.999);
  ExpectClose(Encode(*Load(path, "int8"), crops, sequences), fp32, 0.99);
}

class DemoPrecisionTest : public ::testing::Test {
 protected:
  DemoPrecisionTest() {
    const ClipTokenizer tokenizer;
    std::ifstream names(std::string(kDemo) + "/classes.txt");
    for (std::string name; std::getline(names, name);)
      sequences_.push_back(*tokenizer.Encode("a photo of a " + name + "."));
    std::vector<std::filesystem::path> images;
    for (const auto& file :
         std::filesystem::directory_iterator(std::string(kDemo) + "/images"))
      images.push_back(file.path());
    std::sort(images.begin(), images.end());
    for (const std::filesystem::path& image : images) {
      std::ifstream in(image, std::ios::binary);
      std::stringstream bytes;
      bytes << in.rdbuf();
      crops_.push_back(CropForModel(*DecodeImage(bytes.str()), kImageSize));
    }
    const auto model = Load(kDemo, "fp32");
    EXPECT_EQ(model->info().preprocessing.crop.side, kImageSize);
    fp32_ = Encode(*model, crops_, sequences_);
  }

  // The best class of each image.
  static std::vector<size_t> Best(const Encoded& encoded) {
    std::vector<size_t> best;
    const int dim = encoded.dim;
    for (size_t i = 0; i < encoded.images.size(); i += dim) {
      std::vector<double> scores;
      for (size_t c = 0; c < encoded.texts.size(); c += dim)
        scores.push_back(Dot(&encoded.images[i], &encoded.texts[c], dim));
      best.push_back(std::max_element(scores.begin(), scores.end()) -
                     scores.begin());
    }
    return best;
  }

  static constexpr int kImageSize = 64;
  Crops crops_;
  Sequences sequences_;
  Encoded fp32_;
};

TEST_F(DemoPrecisionTest, Bf16NamesEveryImageAsFp32Does) {
  const Encoded bf16 = Encode(*Load(kDemo, "bf16"), crops_, sequences_);
  ExpectClose(bf16, fp32_, 0.999);
  EXPECT_EQ(Best(bf16), Best(fp32_));
}

TEST_F(DemoPrecisionTest, Int8StaysCloseToFp32) {
  const Encoded int8 = Encode(*Load(kDemo, "int8"), crops_, sequences_);
  ExpectClose(int8, fp32_, 0.99);
  const std::vector<size_t> found = Best(int8), expected = Best(fp32_);
  size_t same = 0;
  for (size_t i = 0; i < found.size(); ++i) same += found[i] == expected[i];
  std::cout << "  " << same << " of " << found.size()
            << " images have the same best class as in fp32\n";
}

}  // namespace
}  // namespace clip
