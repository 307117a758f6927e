// The whole model on a GPU: against the reference's numbers, against the CPU in
// fp32, its graphs, many threads, and what happens when memory runs out.
// Skipped where there is no GPU.
#include <c10/cuda/CUDACachingAllocator.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "clip/checkpoint/architecture.h"
#include "clip/clip_tokenizer.h"
#include "clip/image.h"
#include "clip/model.h"
#include "tests/parity/golden_models.h"
#include "tests/testing/checkpoint_files.h"
#include "tests/testing/encode_text.h"
#include "tests/testing/random_tensors.h"
#include "tests/testing/temporary_folder.h"

namespace clip {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using testing::Best;
using testing::Dot;
using ::testing::HasSubstr;
using testing::Rows;
using testing::ToRows;

using Crops = std::vector<std::vector<uint8_t>>;
using Sequences = std::vector<std::vector<int32_t>>;

// Of an embedding to the reference's, or the CPU's in fp32.
constexpr float kFp16Cosine = 0.9999f, kBf16Cosine = 0.999f;
// The same product in another size of batch adds in another order.
constexpr float kRounding = 2e-3f;

const std::string& DemoModel() {
  static const auto* path = new std::string(ZEROSHOT_SOURCE_DIR "/models/demo");
  return *path;
}

absl::StatusOr<std::unique_ptr<Model>> LoadOnGpu(
    const std::string& path, const std::string& precision = "fp16",
    int max_batch = 0) {
  return Model::Load(
      path,
      {.device = "cuda:0", .precision = precision, .max_batch = max_batch});
}

class CudaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // fp8 is refused only after the device was found.
    const absl::Status status = LoadOnGpu(DemoModel(), "fp8").status();
    if (absl::IsFailedPrecondition(status))
      GTEST_SKIP() << "not run: " << status;
  }
};

Crops RandomCrops(int n, int size) {
  Crops crops;
  for (int i = 0; i < n; ++i) crops.push_back(testing::RandomCrop(size, i));
  return crops;
}

absl::StatusOr<std::vector<float>> EncodeImages(Model& model,
                                                const Crops& crops) {
  return model.EncodeImages(
      std::vector<absl::Span<const uint8_t>>(crops.begin(), crops.end()));
}

Sequences RandomSequences(int n) {
  std::mt19937 random(3);
  Sequences sequences;
  for (int i = 0; i < n; ++i) {
    sequences.push_back({ClipTokenizer::kStartOfText});
    for (int j = 0; j < 3 + i % 40; ++j)
      sequences.back().push_back(random() % ClipTokenizer::kStartOfText);
    sequences.back().push_back(ClipTokenizer::kEndOfText);
  }
  return sequences;
}

float WorstCosine(const Rows& found, const Rows& expected) {
  EXPECT_EQ(found.size(), expected.size());
  float worst = 1;
  for (size_t i = 0; i < found.size(); ++i) {
    const float length = std::sqrt(Dot(expected[i], expected[i]));
    worst = std::min(worst, Dot(found[i], expected[i]) / length);
  }
  std::cout << "  worst cosine " << worst << "\n";
  return worst;
}

float WorstDifference(const std::vector<float>& a,
                      const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  float worst = 0;
  for (size_t i = 0; i < a.size(); ++i)
    worst = std::max(worst, std::abs(a[i] - b[i]));
  return worst;
}

std::vector<size_t> BestTexts(const Rows& images, const Rows& texts) {
  std::vector<size_t> best;
  for (const std::vector<float>& image : images) {
    std::vector<float> scores;
    for (const std::vector<float>& text : texts)
      scores.push_back(Dot(image, text));
    best.push_back(Best(scores));
  }
  return best;
}

TEST_F(CudaTest, EveryGoldenComesOutAsTheReferenceFoundIt) {
  for (const std::string& name : testing::GoldenModels()) {
    const json golden =
        testing::ReadGolden(absl::StrCat("models/", name, ".json"));
    const Rows images = golden["expected"]["image_embeddings"],
               texts = golden["expected"]["text_embeddings"];
    for (const auto& [precision, bar] : {std::pair("fp16", kFp16Cosine),
                                         {"bf16", kBf16Cosine},
                                         {"fp32", 0.999999f}}) {
      SCOPED_TRACE(absl::StrCat(name, " ", precision));
      const auto model = testing::LoadGolden(
          golden, name, {.device = "cuda:0", .precision = precision});
      if (absl::IsInvalidArgument(model.status())) {
        EXPECT_EQ(std::string(precision), "bf16");  // an old card
        continue;
      }
      ASSERT_TRUE(model.ok()) << model.status();
      const Rows found_images = testing::EncodeCrops(**model, golden),
                 found_texts = testing::EncodeSequences(**model, golden);
      EXPECT_GE(WorstCosine(found_images, images), bar);
      EXPECT_GE(WorstCosine(found_texts, texts), bar);
      if (std::string(precision) != "bf16") {
        EXPECT_EQ(BestTexts(found_images, found_texts),
                  BestTexts(images, texts));
      }
    }
  }
}

TEST_F(CudaTest, EveryImageOfTheDemoModelHasTheSameBestClass) {
  const ClipTokenizer tokenizer;
  Sequences sequences;
  std::ifstream names(DemoModel() + "/classes.txt");
  for (std::string name; std::getline(names, name);)
    sequences.push_back(*tokenizer.Encode("a photo of a " + name + "."));
  const auto cpu =
      Model::Load(DemoModel(), {.device = "cpu", .precision = "fp32"});
  const auto gpu = LoadOnGpu(DemoModel());
  ASSERT_TRUE(cpu.ok() && gpu.ok()) << gpu.status();
  Crops crops;
  for (const auto& file :
       std::filesystem::directory_iterator(DemoModel() + "/images")) {
    std::ifstream in(file.path(), std::ios::binary);
    std::stringstream bytes;
    bytes << in.rdbuf();
    crops.push_back(CropForModel(*DecodeImage(bytes.str()),
                                 (*cpu)->info().preprocessing.crop.side));
  }
  const int dim = (*cpu)->info().embedding_dim;
  const Rows expected_images = ToRows(*EncodeImages(**cpu, crops), dim),
             expected_texts =
                 ToRows(*testing::EncodeText(**cpu, sequences), dim),
             images = ToRows(*EncodeImages(**gpu, crops), dim),
             texts = ToRows(*testing::EncodeText(**gpu, sequences), dim);
  EXPECT_GE(WorstCosine(images, expected_images), kFp16Cosine);
  EXPECT_GE(WorstCosine(texts, expected_texts), kFp16Cosine);
  EXPECT_EQ(BestTexts(images, texts),
            BestTexts(expected_images, expected_texts));
}

// A random full-size model, in a file of its own.
class FullSizeTest : public CudaTest {
 protected:
  void Write(const std::string& name) {
    for (const NamedArchitecture& known : KnownArchitectures()) {
      if (known.name != name) continue;
      image_size_ = known.architecture.image_size;
      dim_ = known.architecture.embedding_dim;
      testing::WriteStateDict(
          {RequiredTensors(known.architecture), 7, /*half=*/true}, path_);
      return;
    }
    FAIL() << name;
  }

  const ::testing::TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/model.pt";
  int image_size_ = 0, dim_ = 0;
};

TEST_F(FullSizeTest, Fp16EqualsTheCpusFp32) {
  const Sequences sequences = RandomSequences(24);
  for (const char* name : {"ViT-B/32", "ViT-B/16", "ViT-L/14", "RN50"}) {
    SCOPED_TRACE(name);
    Write(name);
    const Crops crops = RandomCrops(3, image_size_);
    const auto cpu = Model::Load(path_, {.device = "cpu", .precision = "fp32"});
    const auto gpu = LoadOnGpu(path_, "fp16", 8);
    ASSERT_TRUE(cpu.ok() && gpu.ok()) << gpu.status();
    EXPECT_GE(WorstCosine(ToRows(*EncodeImages(**gpu, crops), dim_),
                          ToRows(*EncodeImages(**cpu, crops), dim_)),
              kFp16Cosine);
    EXPECT_GE(WorstCosine(ToRows(*testing::EncodeText(**gpu, sequences), dim_),
                          ToRows(*testing::EncodeText(**cpu, sequences), dim_)),
              kFp16Cosine);
  }
}

TEST_F(FullSizeTest, EverySizeOfABatchGivesTheRowsOfOne) {
  Write("ViT-B/32");
  constexpr int kMost = 20;  // of the graphs; more are cut
  const auto model = LoadOnGpu(path_, "fp16", kMost);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT((*model)->info().graphs,
              HasSubstr("9 CUDA graphs for batches of 1 to 20 images"));
  const Crops crops = RandomCrops(kMost + 5, image_size_);
  std::vector<float> alone;
  for (const std::vector<uint8_t>& crop : crops) {
    const auto row = EncodeImages(**model, {crop});
    ASSERT_TRUE(row.ok()) << row.status();
    alone.insert(alone.end(), row->begin(), row->end());
  }
  for (int n = 1; n <= kMost + 5; ++n) {
    // From the end, so that what a larger batch left behind would show.
    const Crops some(crops.end() - n, crops.end());
    const auto rows = EncodeImages(**model, some);
    ASSERT_TRUE(rows.ok()) << rows.status();
    EXPECT_LE(WorstDifference(*rows, {alone.end() - n * dim_, alone.end()}),
              kRounding)
        << n;
  }
}

TEST_F(FullSizeTest, ManyThreadsMayCallAtOnce) {
  Write("ViT-B/32");
  const auto model = LoadOnGpu(path_, "fp16", 16);
  ASSERT_TRUE(model.ok()) << model.status();
  const Crops crops = RandomCrops(16, image_size_);
  const Sequences sequences = RandomSequences(3000);
  const std::vector<float> images = *EncodeImages(**model, crops),
                           texts = *testing::EncodeText(**model, sequences);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 3; ++thread) {
    threads.emplace_back([&, thread] {
      for (int round = 0; round < 50; ++round) {
        // Each another part each time, so that a mix-up would show.
        const int n = 1 + (round * 5 + thread) % 16;
        const auto rows =
            EncodeImages(**model, Crops(crops.begin(), crops.begin() + n));
        ASSERT_TRUE(rows.ok()) << rows.status();
        EXPECT_LE(
            WorstDifference(*rows, {images.begin(), images.begin() + n * dim_}),
            kRounding);
      }
    });
  }
  for (int thread = 0; thread < 2; ++thread) {
    threads.emplace_back([&] {
      for (int round = 0; round < 5; ++round) {
        const auto rows = testing::EncodeText(**model, sequences);
        ASSERT_TRUE(rows.ok()) << rows.status();
        EXPECT_LE(WorstDifference(*rows, texts), kRounding);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(FullSizeTest, WhereMemoryRunsOutStepsAreHalved) {
  namespace allocator = c10::cuda::CUDACachingAllocator;
  Write("ViT-B/32");
  const auto model = LoadOnGpu(path_, "fp16", 4);
  ASSERT_TRUE(model.ok()) << model.status();
  const Sequences sequences = RandomSequences(3000);
  const std::vector<float> expected = *testing::EncodeText(**model, sequences);
  allocator::emptyCache();
  // Room for a fraction of a step: 32,768 nodes take 400 MB.
  const auto [free, total] = allocator::get()->getMemoryInfo(0);
  const double held = allocator::getDeviceStats(0).reserved_bytes[0].current;
  allocator::setMemoryFraction((held + (100 << 20)) / total, 0);
  const auto rows = testing::EncodeText(**model, sequences);
  allocator::setMemoryFraction(1, 0);
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_LE(WorstDifference(*rows, expected), kRounding);
}

// More prefixes than three steps of the smallest model take.
TEST_F(CudaTest, ProgressCountsSequencesAndStopsTheCall) {
  const ::testing::TemporaryFolder folder;
  const std::string path = folder.path() + "/model.pt";
  testing::WriteStateDict({RequiredTensors(testing::TinyVit())}, path);
  const auto model = LoadOnGpu(path, "fp32");
  ASSERT_TRUE(model.ok()) << model.status();
  Sequences sequences;
  for (int i = 0; i < 100'000; ++i)
    sequences.push_back({98, i % 90, (i / 90) % 90, i / 8100, 99});
  int64_t last = 0;
  int calls = 0;
  const auto count = [&](int64_t done, int64_t total, int64_t) {
    EXPECT_GE(done, last);
    EXPECT_EQ(total, 100'000);
    last = done;
    ++calls;
    return true;
  };
  const auto ignore = [](int64_t, absl::Span<const float>) {};
  const auto positions = (*model)->EncodeText(sequences, ignore, count);
  ASSERT_TRUE(positions.ok()) << positions.status();
  EXPECT_GE(calls, 3);
  EXPECT_EQ(last, 100'000);

  calls = 0;
  const auto stopped = (*model)->EncodeText(
      sequences, ignore,
      [&](int64_t, int64_t, int64_t) { return ++calls < 2; });
  EXPECT_EQ(stopped.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(calls, 2);
}

TEST_F(CudaTest, RefusesPrecisionsItDoesNotHave) {
  for (const char* precision : {"int8", "fp8"}) {
    const absl::Status status = LoadOnGpu(DemoModel(), precision).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(precision), HasSubstr("on CUDA it must be auto "
                                                      "(here fp16), fp16, ")));
  }
  const auto model = LoadOnGpu(DemoModel(), "auto");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->info().precision, "fp16");
  EXPECT_EQ((*model)->info().device, "cuda:0");
}

}  // namespace
}  // namespace clip
