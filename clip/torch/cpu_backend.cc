// On the CPU a thread computes some images, or a text step, by itself.
#include "clip/torch/cpu_backend.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <utility>
#include <variant>

#include "base/monotonic.h"
#include "clip/device_scheduler.h"
#include "clip/image.h"
#include "clip/torch/caught.h"
#include "clip/torch/omp_team.h"
#include "clip/torch/step_rows.h"
#include "clip/torch/text_tower.h"
#include "clip/torch/vision_tower.h"

namespace clip {
namespace {

// What one text step computes: enough for matrix products to run at full speed
// and to share prefixes, little enough for an image batch that waits for the
// step. By multiplications, so that a step, which a thread computes, takes
// 0.25 s at most whatever the tower: 288 prefixes of ViT-B/32's in fp32. The
// faster precisions gain from more, until a step's rows fall out of the cache:
// 512.
constexpr int64_t kStepMultiplications = 10'900'000'000,
                  kStepMultiplicationsLow = 20'000'000'000;
constexpr int64_t kMinStepNodes = 64, kMaxStepNodes = 1024;

// Images that a thread computes at once: what lies between two matrix products
// stays in its cache.
constexpr int64_t kPartImages = 4;

int64_t StepNodes(const TransformerShape& text, CpuPrecision precision) {
  const int64_t step = precision == CpuPrecision::kFp32
                           ? kStepMultiplications
                           : kStepMultiplicationsLow;
  const int64_t nodes = step / text.multiplications();
  // A full step needs no padding.
  return std::clamp(nodes - nodes % RowUnit(nodes, kNodesPerOctave),
                    kMinStepNodes, kMaxStepNodes);
}

std::unique_ptr<VisionTower> MakeVisionTower(const WeightLoader& loader,
                                             CpuPrecision precision) {
  return std::holds_alternative<ResNetShape>(loader.architecture().vision)
             ? MakeResNetTower(loader)
             : MakeCpuVitTower(loader, precision);
}

std::unique_ptr<TextTower> MakeTextTower(const WeightLoader& loader,
                                         CpuPrecision precision) {
  return loader.architecture().text_mask == TextMask::kCausal
             ? MakeTrieTextTower(loader, precision)
             : MakeCpuSequenceTextTower(loader, precision);
}

int64_t PatchOfAnyGrid(const Architecture& all) {
  const auto* vit = std::get_if<VitShape>(&all.vision);
  return vit != nullptr && vit->any_grid ? vit->patch : 0;
}

class CpuBackend : public Backend {
 public:
  CpuBackend(const WeightLoader& loader, CpuPrecision precision, int max_batch,
             std::shared_ptr<ComputeThread> compute)
      : compute_(std::move(compute)),
        threads_(at::get_num_threads()),
        plan_{.max_batch = max_batch,
              .step_nodes = StepNodes(loader.architecture().text, precision),
              .round_steps = threads_},
        image_size_(loader.architecture().image_size),
        patch_(PatchOfAnyGrid(loader.architecture())),
        dim_(loader.architecture().embedding_dim),
        vision_(MakeVisionTower(loader, precision)),
        text_(MakeTextTower(loader, precision)) {}

  const Plan& plan() const override { return plan_; }

  absl::Status EncodeImages(absl::Span<const absl::Span<const uint8_t>> crops,
                            float* rows) override {
    const DeviceTurn turn(&scheduler_, DeviceScheduler::kImages);
    return Guarded(compute_.get(), at::kCPU, [&] {
      // Those of one grid are computed together; most models have one only.
      std::map<std::pair<int, int>, std::vector<int64_t>> by_grid;
      for (size_t i = 0; i < crops.size(); ++i) {
        const PatchGrid grid = patch_ == 0 ? PatchGrid() : GridOf(crops[i]);
        by_grid[{grid.rows, grid.columns}].push_back(static_cast<int64_t>(i));
      }
      for (const auto& [grid, group] : by_grid) {
        const int64_t height = patch_ == 0 ? image_size_ : grid.first * patch_,
                      width = patch_ == 0 ? image_size_ : grid.second * patch_;
        EncodeGroup(crops, group, height, width, rows);
      }
      return absl::OkStatus();
    });
  }

  absl::StatusOr<std::vector<HostRows>> EncodeText(
      absl::Span<const TextStep> round, const std::function<void()>&) override {
    const int64_t n = static_cast<int64_t>(round.size());
    std::vector<HostRows> all(n);
    const auto encode = [&](int64_t begin, int64_t end) {
      const c10::InferenceMode inference;
      for (int64_t i = begin; i < end; ++i) {
        const auto rows = std::make_shared<at::Tensor>(
            UnitRows(text_->Encode(round[i].trie)).contiguous());
        all[i] = {rows, rows->data_ptr<float>()};
      }
    };
    double nodes = 0;
    for (const TextStep& step : round) nodes += step.trie.num_nodes();
    const DeviceTurn turn(&scheduler_, DeviceScheduler::kText);
    return Guarded(compute_.get(), at::kCPU,
                   [&]() -> absl::StatusOr<std::vector<HostRows>> {
                     // Threads that each have a step of their own never wait
                     // for each other. Too few steps are done one by one, on
                     // all threads.
                     const bool each = 2 * n > plan_.round_steps;
                     Timed({each ? kTextEach : kTextTogether, n}, nodes, [&] {
                       return each ? team_.Each(n, 1, encode)
                                   : team_.Together([&] { encode(0, n); });
                     });
                     return all;
                   });
  }

  int64_t Positions(const TokenTrie& trie) const override {
    return text_->Positions(trie);
  }

  absl::StatusOr<std::string> WarmUp() override { return std::string(); }
  void FreeCached() override {}

 private:
  // Those crops of `group`, which are [height, width, 3] behind a PatchGrid, if
  // they have one, to their rows.
  void EncodeGroup(absl::Span<const absl::Span<const uint8_t>> crops,
                   const std::vector<int64_t>& group, int64_t height,
                   int64_t width, float* rows) {
    const int64_t n = static_cast<int64_t>(group.size());
    const size_t size = 3 * height * width;
    const at::Tensor bytes = at::empty({n, height, width, 3}, at::kByte);
    for (int64_t i = 0; i < n; ++i) {
      const absl::Span<const uint8_t> crop = crops[group[i]];
      std::memcpy(bytes.data_ptr<uint8_t>() + i * size, crop.last(size).data(),
                  size);
    }
    EncodeParts(n, [&](int64_t begin, int64_t end) {
      const at::Tensor made =
          UnitRows(vision_->Encode(bytes.narrow(0, begin, end - begin)))
              .contiguous();
      for (int64_t i = begin; i < end; ++i) {
        std::memcpy(rows + group[i] * dim_,
                    made.data_ptr<float>() + (i - begin) * dim_,
                    dim_ * sizeof(float));
      }
    });
  }

  // Calls encode(begin, end) for parts of [0, n) images, on the CPU's threads.
  void EncodeParts(int64_t n,
                   const std::function<void(int64_t, int64_t)>& encode) {
    const auto parts = [&](int64_t begin, int64_t end) {
      const c10::InferenceMode inference;
      // Alike in size: a part reads all weights, however small it is.
      const int64_t count =
          std::max<int64_t>((end - begin + kPartImages / 2) / kPartImages, 1);
      for (int64_t part = 0, next; part < count; ++part, begin = next) {
        next = begin + (end - begin) / (count - part);
        encode(begin, next);
      }
    };
    // Threads that each have images of their own never wait for each other. Of
    // an uneven number, few that are left over are done by all threads
    // together, and so are all where some threads would have much more to do.
    const int64_t threads = threads_, left = n % threads;
    const int64_t own = left == 0            ? n
                        : n < 4 * threads    ? 0
                        : 2 * left > threads ? n
                                             : n - left;
    if (own > 0) {
      Timed({kImagesEach, own}, own,
            [&] { return team_.Each(own, kPartImages, parts); });
    }
    if (own < n) {
      Timed({kImagesTogether, n - own}, n - own,
            [&] { return team_.Together([&] { parts(own, n); }); });
    }
  }

  // What is computed and how, and how many images or steps. Of calls alike in
  // kind and order of magnitude the times for a unit of work are comparable.
  enum Kind { kImagesEach, kImagesTogether, kTextEach, kTextTogether };
  struct Load {
    Kind kind;
    int64_t items;
  };

  // Calls `compute`, which returns what was lost, with the team that is best.
  template <typename Compute>
  void Timed(const Load& load, double units, const Compute& compute) {
    const int magnitude = std::bit_width(static_cast<uint64_t>(load.items));
    TeamChoice& choice =
        choices_.try_emplace({load.kind, magnitude}, threads_).first->second;
    team_.Use(choice.Next());
    const absl::Time start = base::MonotonicNow();
    const double lost = compute();
    const double took = absl::ToDoubleSeconds(base::MonotonicNow() - start);
    choice.Took(took / units, lost);
  }

  const std::shared_ptr<ComputeThread> compute_;
  const int threads_;
  const Plan plan_;
  const int64_t image_size_;
  const int64_t patch_;  // of crops that begin with a PatchGrid; else 0
  const int64_t dim_;
  const std::unique_ptr<VisionTower> vision_;
  const std::unique_ptr<TextTower> text_;
  DeviceScheduler scheduler_;
  // Of the compute thread only.
  OmpTeam team_;
  std::map<std::pair<Kind, int>, TeamChoice> choices_;
};

}  // namespace

std::unique_ptr<Backend> MakeCpuBackend(
    const WeightLoader& loader, CpuPrecision precision, int max_batch,
    std::shared_ptr<ComputeThread> compute) {
  return std::make_unique<CpuBackend>(loader, precision, max_batch,
                                      std::move(compute));
}

}  // namespace clip
