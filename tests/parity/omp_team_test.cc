// Whatever team computes, each part of the work is done once, and the numbers
// are the same.
#include "clip/torch/omp_team.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "clip/checkpoint/checkpoint.h"
#include "clip/token_trie.h"
#include "clip/torch/tensors.h"
#include "clip/torch/text_tower.h"
#include "clip/torch/vision_tower.h"
#include "tests/testing/checkpoint_files.h"
#include "tests/testing/random_tensors.h"
#include "tests/testing/temporary_folder.h"

namespace clip {
namespace {

const Team kTeams[] = {{1, false}, {2, false}, {3, false}, {8, false},
                       {1, true},  {2, true},  {3, true},  {8, true}};

// Leaves the number of threads as it was.
class OmpTeamTest : public ::testing::Test {
 protected:
  ~OmpTeamTest() override { team_.Use({threads_, false}); }

  const int threads_ = at::get_num_threads();
  OmpTeam team_;
};

TEST_F(OmpTeamTest, EachDoesEveryItemOnce) {
  for (const Team& team : kTeams) {
    team_.Use(team);
    for (const int n : {1, 2, 3, 7, 32}) {
      for (const int part : {1, 4}) {
        std::vector<std::atomic<int>> done(n);
        const double lost =
            team_.Each(n, part, [&](int64_t begin, int64_t end) {
              EXPECT_LT(begin, end);
              if (team.patient) {
                EXPECT_LT(end - begin, 2 * part);
              }
              for (int64_t i = begin; i < end; ++i) ++done[i];
            });
        EXPECT_GE(lost, 0);
        EXPECT_LE(lost, 1);
        for (const std::atomic<int>& times : done) EXPECT_EQ(times, 1);
      }
    }
  }
}

TEST_F(OmpTeamTest, AThreadThatComesLateLeavesItsPartsToTheOthers) {
  // One thread is held in its first part until all others are done: only
  // threads that take what comes can do them meanwhile.
  team_.Use({2, true});
  std::atomic<int> done{0};
  team_.Each(8, 1, [&](int64_t begin, int64_t) {
    while (begin == 0 && done < 7) std::this_thread::yield();
    ++done;
  });
  EXPECT_EQ(done, 8);
}

TEST_F(OmpTeamTest, ThrowsWhatAPartThrew) {
  for (const Team& team : kTeams) {
    team_.Use(team);
    EXPECT_THROW(team_.Each(8, 1,
                            [](int64_t begin, int64_t end) {
                              if (begin <= 5 && 5 < end)
                                throw std::runtime_error("part 5");
                            }),
                 std::runtime_error);
    EXPECT_THROW(team_.Together([] { throw std::runtime_error("all"); }),
                 std::runtime_error);
    int done = 0;
    team_.Together([&] { ++done; });  // it goes on
    EXPECT_EQ(done, 1);
  }
}

// Lets the process take no more memory than it has, so that no thread's stack
// can be had.
class NoMoreMemory {
 public:
  NoMoreMemory() {
    getrlimit(RLIMIT_AS, &before_);
    std::ifstream statm("/proc/self/statm");
    rlim_t pages = 0;
    statm >> pages;
    const rlimit now = {pages * sysconf(_SC_PAGESIZE), before_.rlim_max};
    setrlimit(RLIMIT_AS, &now);
  }
  ~NoMoreMemory() { setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_;
};

TEST_F(OmpTeamTest, OneThreadComputesWhereNoOthersCanBeStarted) {
  for (const bool patient : {false, true}) {
    std::set<std::thread::id> ids;
    {
      const NoMoreMemory limit;
      team_.Use({100, patient});  // more than have left their stacks behind
    }
    team_.Each(100, 1, [&](int64_t begin, int64_t end) {
      for (; begin < end; ++begin) ids.insert(std::this_thread::get_id());
    });
    EXPECT_EQ(ids, std::set<std::thread::id>({std::this_thread::get_id()}));
  }
}

struct Towers {
  Towers(const WeightLoader& loader, CpuPrecision precision)
      : vision(std::holds_alternative<ResNetShape>(loader.architecture().vision)
                   ? MakeResNetTower(loader)
                   : MakeCpuVitTower(loader, precision)),
        text(MakeTrieTextTower(loader, precision)) {}

  const std::unique_ptr<VisionTower> vision;
  const std::unique_ptr<TextTower> text;
};

at::Tensor RandomCrops(int64_t n, int size) {
  const at::Tensor crops = at::empty({n, size, size, 3}, at::kByte);
  for (int64_t i = 0; i < n; ++i) {
    const std::vector<uint8_t> crop = testing::RandomCrop(size, i);
    std::copy(crop.begin(), crop.end(), crops[i].data_ptr<uint8_t>());
  }
  return crops;
}

TokenTrie SomeTrie() {
  std::vector<std::vector<int32_t>> sequences;
  for (int i = 0; i < 40; ++i) sequences.push_back({1, 2 + i % 5, 7 + i, 3});
  const std::vector<absl::Span<const int32_t>> tokens(sequences.begin(),
                                                      sequences.end());
  return TrieSteps(tokens, 1024).Next()->trie;
}

TEST_F(OmpTeamTest, NumbersDoNotDependOnTheTeam) {
  const ::testing::TemporaryFolder folder;
  const Architecture vit{.embedding_dim = 128,
                         .image_size = 56,
                         .vision = VitShape{8, {256, 3, 4, 1024}},
                         .context_length = 20,
                         .vocab_size = 60,
                         .text = {256, 3, 4, 1024}};
  testing::WriteOpenClip(vit, {RequiredTensors(vit), 5}, folder.path());
  for (const std::string& path :
       {folder.path(), std::string(ZEROSHOT_SOURCE_DIR "/models/demo")}) {
    const auto checkpoint = ReadCheckpoint(path);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    const WeightLoader loader(*checkpoint, {});
    const at::Tensor crops =
        RandomCrops(3, checkpoint->architecture.image_size);
    const TokenTrie trie = SomeTrie();
    for (const CpuPrecision precision :
         {CpuPrecision::kFp32, CpuPrecision::kBf16, CpuPrecision::kInt8}) {
      const c10::InferenceMode inference;
      const Towers towers(loader, precision);
      at::Tensor images, texts;  // of one thread
      for (const Team& team : kTeams) {
        team_.Use(team);
        team_.Together([&] {
          const at::Tensor image_rows = UnitRows(towers.vision->Encode(crops)),
                           text_rows = UnitRows(towers.text->Encode(trie));
          if (!images.defined()) {
            images = image_rows;
            texts = text_rows;
          }
          const float worst =
              std::max((image_rows - images).abs().max().item<float>(),
                       (text_rows - texts).abs().max().item<float>());
          // oneDNN cuts its products by the number of threads, so that sums
          // round otherwise; bf16 and int8 round rows between layers too.
          EXPECT_LE(worst, precision == CpuPrecision::kFp32 ? 1e-6 : 2e-3)
              << path << ", precision " << static_cast<int>(precision) << ", "
              << team.threads << (team.patient ? " patient" : "") << " threads";
        });
      }
    }
  }
}

}  // namespace
}  // namespace clip
