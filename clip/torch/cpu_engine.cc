// On the CPU a thread computes some images, or a text step, by itself.
#include "clip/torch/cpu_engine.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <utility>
#include <variant>

#include "base/monotonic.h"
#include "clip/torch/caught.h"
#include "clip/torch/omp_team.h"
#include "clip/torch/step_rows.h"
#include "clip/torch/text_tower.h"
#include "clip/torch/vision_tower.h"
#include "clip/turns.h"

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
  return loader.architecture().causal_text
             ? MakeTrieTextTower(loader, precision)
             : MakePaddedTextTower(loader);
}

class CpuEngine : public Engine {
 public:
  CpuEngine(const WeightLoader& loader, CpuPrecision precision, int max_batch,
            std::shared_ptr<ComputeThread> compute)
      : compute_(std::move(compute)),
        threads_(at::get_num_threads()),
        plan_{.max_batch = max_batch,
              .step_nodes = StepNodes(loader.architecture().text, precision),
              .round_steps = threads_},
        image_size_(loader.architecture().image_size),
        dim_(loader.architecture().embedding_dim),
        vision_(MakeVisionTower(loader, precision)),
        text_(MakeTextTower(loader, precision)) {}

  const Plan& plan() const override { return plan_; }

  absl::Status EncodeImages(absl::Span<const absl::Span<const uint8_t>> crops,
                            float* rows) override {
    const Turn turn(&turns_, Turns::kImages);
    return Guarded(compute_.get(), at::kCPU, [&] {
      const int64_t n = static_cast<int64_t>(crops.size());
      const at::Tensor bytes =
          at::empty({n, image_size_, image_size_, 3}, at::kByte);
      for (int64_t i = 0; i < n; ++i) {
        std::memcpy(bytes.data_ptr<uint8_t>() + i * crops[i].size(),
                    crops[i].data(), crops[i].size());
      }
      const at::Tensor embeddings = at::from_blob(rows, {n, dim_}, at::kFloat);
      EncodeParts(n, [&](int64_t begin, int64_t end) {
        embeddings.narrow(0, begin, end - begin)
            .copy_(
                UnitRows(vision_->Encode(bytes.narrow(0, begin, end - begin))));
      });
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
    const Turn turn(&turns_, Turns::kText);
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
  const int64_t dim_;
  const std::unique_ptr<VisionTower> vision_;
  const std::unique_ptr<TextTower> text_;
  Turns turns_;
  // Of the compute thread only.
  OmpTeam team_;
  std::map<std::pair<Kind, int>, TeamChoice> choices_;
};

}  // namespace

std::unique_ptr<Engine> MakeCpuEngine(const WeightLoader& loader,
                                      CpuPrecision precision, int max_batch,
                                      std::shared_ptr<ComputeThread> compute) {
  return std::make_unique<CpuEngine>(loader, precision, max_batch,
                                     std::move(compute));
}

}  // namespace clip
