// Model over LibTorch: options and devices, turns, steps, and the only place
// where torch's exceptions are caught.
#include "clip/model.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "clip/checkpoint/checkpoint.h"
#include "clip/compute_thread.h"
#include "clip/cpu_quota.h"
#include "clip/replicated_model.h"
#include "clip/token_trie.h"
#include "clip/torch/device.h"
#include "clip/torch/tensors.h"
#include "clip/torch/text_tower.h"
#include "clip/torch/vision_tower.h"
#include "clip/turns.h"

namespace clip {
namespace {

// What one text step computes: enough for matrix products to run at full speed
// and to share prefixes, little enough for an image batch that waits for the
// step. On the CPU, where a thread computes a step, by multiplications, so that
// it takes 0.25 s at most whatever the tower: 278 prefixes of ViT-B/32's in
// fp32. The faster precisions gain from more, until a step's rows fall out of
// the cache: 530.
constexpr int64_t kStepMultiplications = 10'500'000'000,
                  kStepMultiplicationsLow = 20'000'000'000;
constexpr int64_t kMinStepNodes = 64, kMaxStepNodes = 2048,
                  kCudaStepNodes = 8192;

// Images that a thread computes at once on the CPU: what lies between two
// matrix products stays in its cache.
constexpr int64_t kPartImages = 4;

int64_t StepNodes(const TransformerShape& text, const at::Device& device,
                  CpuPrecision precision) {
  if (device.is_cuda()) return kCudaStepNodes;
  const int64_t step = precision == CpuPrecision::kFp32
                           ? kStepMultiplications
                           : kStepMultiplicationsLow;
  const int64_t node = int64_t{12} * text.width * text.width * text.layers;
  return std::clamp(step / node, kMinStepNodes, kMaxStepNodes);
}

// Calls `f`, which returns a StatusOr, with torch's exceptions turned into
// statuses.
template <typename F>
auto Caught(const at::Device& device, F f) -> decltype(f()) {
  const auto exhausted = [](absl::string_view what) {
    return absl::ResourceExhaustedError(absl::StrCat("out of memory: ", what));
  };
  const auto first_line = [](const std::string& text) {
    return text.substr(0, text.find('\n'));
  };
  try {
    const c10::InferenceMode inference;
    const c10::OptionalDeviceGuard guard(
        device.is_cuda() ? c10::optional<at::Device>(device) : c10::nullopt);
    return f();
  } catch (const c10::OutOfMemoryError& error) {
    return exhausted(first_line(error.what_without_backtrace()));
  } catch (const c10::Error& error) {
    const std::string what = first_line(error.what_without_backtrace());
    if (absl::StrContains(what, "DefaultCPUAllocator")) return exhausted(what);
    return absl::InternalError(absl::StrCat("LibTorch: ", what));
  } catch (const std::bad_alloc&) {
    return exhausted("host memory");
  } catch (const std::exception& error) {
    return absl::InternalError(
        absl::StrCat("LibTorch: ", first_line(error.what())));
  }
}

// Caught on the compute thread.
template <typename F>
auto Guarded(ComputeThread* compute, const at::Device& device, F f)
    -> decltype(f()) {
  decltype(f()) result = absl::UnknownError("not computed");
  compute->Run([&] { result = Caught(device, f); });
  return result;
}

std::unique_ptr<VisionTower> MakeVisionTower(const WeightLoader& loader,
                                             CpuPrecision precision) {
  if (std::holds_alternative<ResNetShape>(loader.architecture().vision))
    return MakeResNetTower(loader);
  return loader.compute().device.is_cuda() ? MakeVitTower(loader)
                                           : MakeCpuVitTower(loader, precision);
}

std::unique_ptr<TextTower> MakeTextTower(const WeightLoader& loader,
                                         CpuPrecision precision) {
  return loader.compute().device.is_cuda() || !loader.architecture().causal_text
             ? MakePaddedTextTower(loader)
             : MakeTrieTextTower(loader, precision);
}

class TorchModel : public Model {
 public:
  TorchModel(std::shared_ptr<ComputeThread> compute, const WeightLoader& loader,
             ModelInfo info, int max_batch)
      : compute_(std::move(compute)),
        info_(std::move(info)),
        device_(loader.compute().device),
        max_batch_(max_batch),
        causal_text_(loader.architecture().causal_text),
        step_nodes_(StepNodes(loader.architecture().text, device_,
                              CpuPrecisionOf(info_.precision))),
        round_steps_(device_.is_cuda() ? 1 : at::get_num_threads()),
        vision_(MakeVisionTower(loader, CpuPrecisionOf(info_.precision))),
        text_(MakeTextTower(loader, CpuPrecisionOf(info_.precision))) {}

  const ModelInfo& info() const override { return info_; }

  absl::StatusOr<std::vector<float>> EncodeImages(
      absl::Span<const absl::Span<const uint8_t>> crops) override {
    const size_t crop_size = size_t{3} * info_.image_size * info_.image_size;
    for (size_t i = 0; i < crops.size(); ++i) {
      if (crops[i].size() == crop_size) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "crop ", i, " has ", crops[i].size(), " bytes, expected ",
          info_.image_size, " x ", info_.image_size, " x 3 = ", crop_size));
    }
    std::vector<float> rows;
    rows.reserve(crops.size() * info_.embedding_dim);
    for (size_t begin = 0; begin < crops.size(); begin += max_batch_) {
      const absl::Status status =
          EncodeBatch(crops.subspan(begin, max_batch_), &rows);
      if (!status.ok()) return status;
    }
    return rows;
  }

  absl::StatusOr<int64_t> EncodeText(
      absl::Span<const std::vector<int32_t>> sequences, const TextSink& sink,
      const TextProgress& progress) override {
    if (absl::Status status = CheckSequences(sequences); !status.ok())
      return status;
    std::vector<absl::Span<const int32_t>> tokens(sequences.begin(),
                                                  sequences.end());
    if (causal_text_) absl::c_transform(tokens, tokens.begin(), CutAtPool);
    const int64_t total = static_cast<int64_t>(sequences.size());
    int64_t positions = 0, done = 0;
    TrieSteps steps(tokens, step_nodes_);
    while (done < total) {
      const std::vector<TextStep> round = NextRound(&steps);
      const auto rows = EncodeRound(round);
      if (!rows.ok()) return rows.status();
      for (size_t i = 0; i < round.size(); ++i) {
        positions += text_->Positions(round[i].trie);
        done += static_cast<int64_t>(round[i].members.size());
        for (const TextStep::Member& member : round[i].members) {
          sink(member.sequence,
               {(*rows)[i].data_ptr<float>() + member.end * info_.embedding_dim,
                static_cast<size_t>(info_.embedding_dim)});
        }
      }
      if (progress && !progress(done, total, positions) && done < total) {
        return absl::CancelledError(
            absl::StrCat("stopped after ", done, " of ", total, " sequences"));
      }
    }
    return positions;
  }

  // Takes the first call's costs (threads, kernels, memory) before traffic.
  absl::Status WarmUp() {
    const std::vector<uint8_t> crop(size_t{3} * info_.image_size *
                                    info_.image_size);
    // Only a GPU has something to prepare for full batches.
    const int images = device_.is_cuda() ? max_batch_ : 1;
    absl::Status status =
        EncodeImages(std::vector<absl::Span<const uint8_t>>(images, crop))
            .status();
    if (!status.ok()) return status;
    return EncodeText(
               {{0}}, [](int64_t, absl::Span<const float>) {}, nullptr)
        .status();
  }

 private:
  absl::Status CheckSequences(
      absl::Span<const std::vector<int32_t>> sequences) const {
    for (size_t i = 0; i < sequences.size(); ++i) {
      const std::vector<int32_t>& ids = sequences[i];
      if (ids.empty() ||
          ids.size() > static_cast<size_t>(info_.context_length)) {
        return absl::InvalidArgumentError(
            absl::StrCat("token sequence ", i, " has ", ids.size(),
                         " tokens, allowed are 1 to ", info_.context_length));
      }
      for (const int32_t id : ids) {
        if (id >= 0 && id < info_.vocab_size) continue;
        return absl::InvalidArgumentError(
            absl::StrCat("token sequence ", i, " has id ", id,
                         ", allowed are 0 to ", info_.vocab_size - 1));
      }
    }
    return absl::OkStatus();
  }

  // Crops to rows, appended. REQUIRES: 1 to max_batch_ crops of the right size.
  absl::Status EncodeBatch(absl::Span<const absl::Span<const uint8_t>> crops,
                           std::vector<float>* rows) {
    const int64_t n = static_cast<int64_t>(crops.size()),
                  size = info_.image_size, dim = info_.embedding_dim;
    const auto encode = [&]() -> absl::StatusOr<at::Tensor> {
      const at::Tensor bytes = at::empty({n, size, size, 3}, at::kByte);
      for (int64_t i = 0; i < n; ++i) {
        std::memcpy(bytes.data_ptr<uint8_t>() + i * crops[i].size(),
                    crops[i].data(), crops[i].size());
      }
      if (device_.is_cuda()) return ToHost(vision_->Encode(bytes.to(device_)));
      const at::Tensor embeddings = at::empty({n, dim}, at::kFloat);
      EncodeParts(n, [&](int64_t begin, int64_t end) {
        embeddings.narrow(0, begin, end - begin)
            .copy_(
                UnitRows(vision_->Encode(bytes.narrow(0, begin, end - begin))));
      });
      return embeddings;
    };
    const Turn turn(&turns_, Turns::kImages);
    const absl::StatusOr<at::Tensor> embeddings =
        Guarded(compute_.get(), device_, encode);
    if (!embeddings.ok()) return embeddings.status();
    const float* data = embeddings->data_ptr<float>();
    rows->insert(rows->end(), data, data + embeddings->numel());
    return absl::OkStatus();
  }

  // Calls encode(begin, end) for parts of [0, n) images, on the CPU's threads.
  static void EncodeParts(int64_t n,
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
    const int64_t threads = at::get_num_threads(), left = n % threads;
    const int64_t own = left == 0            ? n
                        : n < 4 * threads    ? 0
                        : 2 * left > threads ? n
                                             : n - left;
    if (own > 0) at::parallel_for(0, own, 1, parts);
    if (own < n) parts(own, n);
  }

  // Steps that are computed in one turn.
  std::vector<TextStep> NextRound(TrieSteps* steps) const {
    std::vector<TextStep> round;
    while (static_cast<int64_t>(round.size()) < round_steps_) {
      absl::optional<TextStep> step = steps->Next();
      if (!step.has_value()) break;
      round.push_back(*std::move(step));
    }
    return round;
  }

  // Unit rows [trie.num_ends(), embedding_dim] on the host, of each step.
  absl::StatusOr<std::vector<at::Tensor>> EncodeRound(
      const std::vector<TextStep>& round) {
    const int64_t n = static_cast<int64_t>(round.size());
    std::vector<at::Tensor> rows(n);
    const auto encode = [&](int64_t begin, int64_t end) {
      const c10::InferenceMode inference;
      for (int64_t i = begin; i < end; ++i)
        rows[i] = ToHost(text_->Encode(round[i].trie));
    };
    const Turn turn(&turns_, Turns::kText);
    return Guarded(compute_.get(), device_,
                   [&]() -> absl::StatusOr<std::vector<at::Tensor>> {
                     // Threads that each have a step of their own never wait
                     // for each other. Too few steps are done one by one, on
                     // all threads.
                     if (2 * n > round_steps_) {
                       at::parallel_for(0, n, 1, encode);
                     } else {
                       encode(0, n);
                     }
                     return rows;
                   });
  }

  // Waits for the device, so that a turn ends when its work has.
  static at::Tensor ToHost(const at::Tensor& embeddings) {
    return UnitRows(embeddings).cpu().contiguous();
  }

  const std::shared_ptr<ComputeThread> compute_;
  const ModelInfo info_;
  const at::Device device_;
  const int max_batch_;
  const bool causal_text_;
  const int64_t step_nodes_;
  const int64_t round_steps_;
  const std::unique_ptr<VisionTower> vision_;
  const std::unique_ptr<TextTower> text_;
  Turns turns_;
};

ModelInfo Describe(const Checkpoint& checkpoint, const at::Device& device,
                   const std::string& precision) {
  const Architecture& all = checkpoint.architecture;
  ModelInfo info;
  info.name = checkpoint.name;
  info.family = FamilyName(all);
  info.fingerprint = Fingerprint(checkpoint);
  info.device = device.str();
  info.devices = {{device.str(), ""}};
  info.batches_at_once = device.is_cuda() ? 2 : 1;
  info.precision = precision;
  info.threads = device.is_cpu() ? at::get_num_threads() : 0;
  info.image_size = all.image_size;
  info.context_length = all.context_length;
  info.vocab_size = all.vocab_size;
  info.embedding_dim = all.embedding_dim;
  info.logit_scale =
      std::exp(WeightLoader(checkpoint, {}).Float("logit_scale").item<float>());
  return info;
}

// The model on one device.
absl::StatusOr<std::unique_ptr<Model>> LoadOn(const at::Device& device,
                                              const std::string& precision,
                                              const Checkpoint& checkpoint,
                                              const ModelOptions& options) {
  const auto compute = std::make_shared<ComputeThread>();
  const auto load = [&]() -> absl::StatusOr<std::unique_ptr<TorchModel>> {
    at::set_num_threads(options.threads > 0
                            ? options.threads
                            : ThreadsWithin(CpuQuota(), at::get_num_threads()));
    // fp32 means fp32 on GPUs too, whose convolutions would round to TF32.
    at::globalContext().setAllowTF32CuDNN(false);
    const WeightLoader loader(checkpoint, {device, TypeFor(precision)});
    return std::make_unique<TorchModel>(compute, loader,
                                        Describe(checkpoint, device, precision),
                                        options.max_batch);
  };
  absl::StatusOr<std::unique_ptr<TorchModel>> model =
      Guarded(compute.get(), device, load);
  if (!model.ok()) return model.status();
  absl::Status status = (*model)->WarmUp();
  if (!status.ok()) return status;
  return *std::move(model);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> Model::Load(
    const std::string& path, const ModelOptions& options) {
  if (options.threads < 0 || options.max_batch < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("threads is ", options.threads, " and max_batch ",
                     options.max_batch, ", allowed are from 0 and from 1"));
  }
  const absl::StatusOr<std::vector<at::Device>> devices =
      ChooseDevices(options.device);
  if (!devices.ok()) return devices.status();
  const absl::StatusOr<std::string> precision =
      ChoosePrecision(options.precision, devices->front());
  if (!precision.ok()) return precision.status();
  const absl::StatusOr<Checkpoint> checkpoint = ReadCheckpoint(path);
  if (!checkpoint.ok()) return checkpoint.status();
  // One after the other: while one captures graphs no thread may allocate on
  // any device.
  std::vector<std::unique_ptr<Model>> replicas;
  for (const at::Device& device : *devices) {
    absl::StatusOr<std::unique_ptr<Model>> replica =
        LoadOn(device, *precision, *checkpoint, options);
    if (!replica.ok()) return replica.status();
    replicas.push_back(*std::move(replica));
  }
  // The CPU is never lost.
  if (devices->front().is_cpu()) return std::move(replicas[0]);
  return std::make_unique<ReplicatedModel>(std::move(replicas));
}

}  // namespace clip
