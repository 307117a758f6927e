// A device that is lost: every call says so from then on, and nothing crashes.
// A process of its own, because CUDA does not give the device back. Skipped
// where there is no GPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "clip/checkpoint/checkpoint.h"
#include "clip/model.h"
#include "clip/torch/caught.h"
#include "clip/torch/cuda/cuda_device.h"
#include "clip/torch/device.h"
#include "clip/torch/text_tower.h"
#include "tests/testing/checkpoint_files.h"
#include "tests/testing/encode_text.h"
#include "tests/testing/temporary_folder.h"

namespace clip {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(CudaLostDeviceTest, EveryCallSaysThatTheDeviceIsLost) {
  const auto devices = ChooseDevices("cuda:0");
  if (!devices.ok()) GTEST_SKIP() << "not run: " << devices.status();
  const at::Device device = devices->front();
  const ::testing::TemporaryFolder folder;
  const std::string path = folder.path() + "/model.pt";
  testing::WriteStateDict({RequiredTensors(testing::TinyVit())}, path);
  const auto model = Model::Load(path, {.device = "cuda:0"});
  ASSERT_TRUE(model.ok()) << model.status();
  const auto checkpoint = ReadCheckpoint(path);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();

  // A token that no table has: the kernel reads where there is no memory. (A
  // model checks its tokens, a tower does not.)
  const absl::Status fault = Caught(device, [&]() -> absl::Status {
    const auto tower =
        MakeCudaTrieTextTower(WeightLoader(*checkpoint, {device, at::kHalf}));
    TokenTrie trie;
    trie.tokens = {1 << 30};
    trie.depths = {0};
    trie.offsets = {0, 1};
    trie.ancestors = {0};
    trie.ends = {0};
    tower->Encode(trie).cpu();
    return absl::OkStatus();
  });
  EXPECT_EQ(fault.code(), absl::StatusCode::kUnavailable) << fault;
  EXPECT_THAT(std::string(fault.message()),
              StartsWith("device cuda:0 is lost: "));

  const std::vector<uint8_t> crop(16 * 16 * 3);
  const absl::Span<const uint8_t> crops[] = {crop};
  for (int i = 0; i < 3; ++i) {
    const absl::Status images = (*model)->EncodeImages(crops).status(),
                       texts =
                           testing::EncodeText(**model, {{{1, 99}}}).status();
    for (const absl::Status& status : {images, texts}) {
      EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("cuda:0"));
    }
  }
  EXPECT_EQ((*model)->devices_left(), 0);
}

}  // namespace
}  // namespace clip
