// The towers for CUDA compute what the towers for any device do, which the
// goldens hold to the reference. On a GPU, and where the build has no CUDA on
// the CPU, with the kernels run by stand-ins (tests/testing/cuda_on_cpu/).
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "clip/checkpoint/checkpoint.h"
#include "clip/token_trie.h"
#include "clip/torch/cuda/cuda_device.h"
#include "clip/torch/cuda/row_buffers.h"
#include "clip/torch/device.h"
#include "clip/torch/tensors.h"
#include "clip/torch/text_tower.h"
#include "clip/torch/vision_tower.h"
#include "tests/testing/checkpoint_files.h"
#include "tests/testing/random_tensors.h"
#include "tests/testing/temporary_folder.h"

namespace clip {
namespace {

using Sequences = std::vector<std::vector<int32_t>>;

struct Shape {
  std::string name;
  Architecture architecture;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  return out << shape.name;
}

const std::vector<Shape>& Shapes() {
  static const auto* shapes = new std::vector<Shape>{
      {"QuickGelu",
       {.embedding_dim = 32,
        .image_size = 24,
        .vision = VitShape{8, {64, 3, 2, 256}},
        .context_length = 20,
        .vocab_size = 50,
        .text = {48, 3, 2, 192}}},
      {"Gelu",
       {.embedding_dim = 16,
        .image_size = 28,
        .vision = VitShape{14, {64, 2, 1, 256, Activation::kGelu, 1e-6}},
        .context_length = 20,
        .vocab_size = 50,
        .text = {64, 2, 2, 256, Activation::kGelu, 1e-6}}},
      // Of few tokens many are 0, which hides the next one.
      {"ClassToken",
       {.embedding_dim = 16,
        .image_size = 16,
        .vision = VitShape{8, {64, 1, 2, 256}},
        .context_length = 19,
        .vocab_size = 50,
        .text = {64, 2, 2, 256},
        .text_pool = TextPool::kClass}},
      {"OneBlock",
       {.embedding_dim = 24,
        .image_size = 16,
        .vision = VitShape{4, {64, 1, 4, 256}},
        .context_length = 20,
        .vocab_size = 50,
        .text = {64, 1, 8, 256}}},
  };
  return *shapes;
}

// Where these run: in a build with CUDA on a GPU, if there is one.
absl::StatusOr<at::Device> DeviceOfThisBuild() {
  if (!BuiltWithCuda()) return at::kCPU;
  const auto chosen = ChooseDevices("cuda:0");
  if (!chosen.ok()) return chosen.status();
  return chosen->front();
}

class CudaTowersTest : public ::testing::TestWithParam<Shape> {
 protected:
  void SetUp() override {
    const auto device = DeviceOfThisBuild();
    if (!device.ok()) GTEST_SKIP() << "not run: " << device.status();
    device_ = *device;
    if (BuiltWithCuda()) SetUpCuda();
    const ::testing::TemporaryFolder folder;
    testing::WriteOpenClip(GetParam().architecture,
                           {RequiredTensors(GetParam().architecture), 5},
                           folder.path());
    auto checkpoint = ReadCheckpoint(folder.path());
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    checkpoint_ = *std::move(checkpoint);
  }

  WeightLoader Loader(at::ScalarType type) const {
    return WeightLoader(checkpoint_, {device_, type});
  }

  at::Tensor RandomCrops(int64_t n) const {
    const int size = GetParam().architecture.image_size;
    const at::Tensor crops = at::empty({n, size, size, 3}, at::kByte);
    for (int64_t i = 0; i < n; ++i) {
      const std::vector<uint8_t> crop = testing::RandomCrop(size, i);
      std::copy(crop.begin(), crop.end(), crops[i].data_ptr<uint8_t>());
    }
    return crops.to(device_);
  }

  // How far rows are from those they should be, at most.
  static float Worst(const at::Tensor& found, const at::Tensor& expected) {
    EXPECT_EQ(found.sizes(), expected.sizes());
    return (UnitRows(found) - UnitRows(expected)).abs().max().item<float>();
  }
  static float WorstCosine(const at::Tensor& found,
                           const at::Tensor& expected) {
    EXPECT_EQ(found.sizes(), expected.sizes());
    return (UnitRows(found) * UnitRows(expected))
        .sum(/*dim=*/1)
        .min()
        .item<float>();
  }

  const c10::InferenceMode inference_;
  at::Device device_ = at::kCPU;
  Checkpoint checkpoint_;
};

TEST_P(CudaTowersTest, ImagesComeOutAsFromTheTowerForAnyDevice) {
  const at::Tensor crops = RandomCrops(5);
  const at::Tensor expected = MakeVitTower(Loader(at::kFloat))->Encode(crops);
  const auto fp32 = MakeCudaVitTower(Loader(at::kFloat));
  ASSERT_NE(fp32, nullptr);
  EXPECT_LE(Worst(fp32->Encode(crops), expected), 2e-5);
  EXPECT_GE(
      WorstCosine(MakeCudaVitTower(Loader(at::kHalf))->Encode(crops), expected),
      0.9999);
  EXPECT_GE(WorstCosine(MakeCudaVitTower(Loader(at::kBFloat16))->Encode(crops),
                        expected),
            0.999);
}

TEST_P(CudaTowersTest, AnImageDoesNotDependOnItsCompany) {
  const at::Tensor crops = RandomCrops(7);
  const auto tower = MakeCudaVitTower(Loader(at::kFloat));
  const at::Tensor together = tower->Encode(crops);
  for (int64_t i = 0; i < 7; ++i) {
    EXPECT_LE(
        Worst(tower->Encode(crops.narrow(0, i, 1)), together.narrow(0, i, 1)),
        2e-5);
  }
}

// Sequences of few different tokens, so that many begin alike.
Sequences RandomSequences(int n, int tokens, const Architecture& all,
                          std::mt19937* random) {
  Sequences sequences;
  for (int i = 0; i < n; ++i) {
    std::vector<int32_t> ids;
    const int length = 1 + (*random)() % all.context_length;
    for (int j = 0; j + 1 < length; ++j) ids.push_back((*random)() % tokens);
    ids.push_back(all.vocab_size - 1);
    sequences.push_back(ids);
  }
  return sequences;
}

TEST_P(CudaTowersTest, TriesComeOutAsPaddedSequencesDo) {
  const Architecture& all = GetParam().architecture;
  const auto padded = MakeSequenceTextTower(Loader(at::kFloat));
  const auto fp32 = MakeCudaTrieTextTower(Loader(at::kFloat)),
             fp16 = MakeCudaTrieTextTower(Loader(at::kHalf)),
             bf16 = MakeCudaTrieTextTower(Loader(at::kBFloat16));
  ASSERT_NE(fp32, nullptr);
  std::mt19937 random(1);
  // From large tries to small ones and back: what is kept between calls must
  // not show.
  for (const int n : {20, 1, 40}) {
    for (const int alphabet : {2, 40}) {
      const Sequences sequences = RandomSequences(n, alphabet, all, &random);
      const std::vector<absl::Span<const int32_t>> tokens(sequences.begin(),
                                                          sequences.end());
      TrieSteps steps(tokens, 1 << 20);
      const auto step = steps.Next();
      ASSERT_TRUE(step.has_value());
      const at::Tensor expected = padded->Encode(step->trie);
      EXPECT_LE(Worst(fp32->Encode(step->trie), expected), 2e-5);
      EXPECT_GE(WorstCosine(fp16->Encode(step->trie), expected), 0.9999);
      EXPECT_GE(WorstCosine(bf16->Encode(step->trie), expected), 0.999);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaTowersTest, ::testing::ValuesIn(Shapes()),
                         [](const auto& info) { return info.param.name; });

// Rows of 60 elements are no multiple of what a kernel's lane takes.
TEST(CudaTowersShapesTest, WhatTheKernelsDoNotTakeIsLeftToOtherTowers) {
  Architecture odd = Shapes()[0].architecture;
  odd.text = {60, 1, 2, 96};
  std::get<VitShape>(odd.vision).transformer.width = 4096;
  Checkpoint checkpoint;
  checkpoint.architecture = odd;
  EXPECT_EQ(MakeCudaTrieTextTower({checkpoint, {}}), nullptr);
  EXPECT_EQ(MakeCudaVitTower({checkpoint, {}}), nullptr);
}

TEST(RowBuffersTest, AreUsedAgainOnceNobodyHoldsThem) {
  // Pinned memory is the driver's.
  const auto device = DeviceOfThisBuild();
  if (!device.ok()) GTEST_SKIP() << "not run: " << device.status();
  constexpr int64_t kRows = 4, kDim = 3;
  auto buffers = std::make_unique<RowBuffers>(kRows, kDim);
  std::shared_ptr<const at::Tensor> first = buffers->Take(2);
  const std::shared_ptr<const at::Tensor> second = buffers->Take(kRows);
  EXPECT_EQ(first->sizes(), at::IntArrayRef({kRows, kDim}));
  EXPECT_NE(first->data_ptr(), second->data_ptr());
  // A third while both are held, and one that is larger.
  EXPECT_EQ(buffers->Take(1)->size(0), kRows);
  EXPECT_EQ(buffers->Take(kRows + 1)->size(0), kRows + 1);
  const void* const memory = first->data_ptr();
  first.reset();
  EXPECT_EQ(buffers->Take(1)->data_ptr(), memory);
  // Rows that somebody still reads outlive the engine.
  buffers.reset();
  EXPECT_EQ(second->size(1), kDim);
}

}  // namespace
}  // namespace clip
