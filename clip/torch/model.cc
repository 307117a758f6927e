// Model over LibTorch: options and devices, turns, steps, and the only place
// where torch's exceptions are caught.
#include "clip/model.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <numeric>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "clip/checkpoint/checkpoint.h"
#include "clip/text_plan.h"
#include "clip/torch/tensors.h"
#include "clip/torch/text_tower.h"
#include "clip/torch/vision_tower.h"
#include "clip/turns.h"

namespace clip {
namespace {

// Token positions of one text step. Large enough for matrix products to run at
// full speed, small enough for an image batch that waits for the step.
constexpr int64_t kStepPositionsCpu = 2048;
constexpr int64_t kStepPositionsCuda = 32768;

// Runs `f`, which returns a StatusOr, with torch's exceptions turned into
// statuses.
template <typename F>
auto Guarded(const at::Device& device, F f) -> decltype(f()) {
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

absl::StatusOr<at::Device> ChooseDevice(const std::string& name) {
  const int gpus = at::hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0;
  if (name == "cpu" || (name == "auto" && gpus == 0))
    return at::Device(at::kCPU);
  if (name == "auto") return at::Device(at::kCUDA, 0);
  absl::string_view rest = name;
  int index = 0;
  const bool cuda = absl::ConsumePrefix(&rest, "cuda") &&
                    (rest.empty() || (absl::ConsumePrefix(&rest, ":") &&
                                      absl::SimpleAtoi(rest, &index)));
  if (!cuda || index < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "device '", name, "': allowed are auto, cpu, cuda and cuda:N"));
  }
  if (index >= gpus) {
    return absl::FailedPreconditionError(
        absl::StrCat("device '", name, "': this machine and build have ", gpus,
                     " CUDA devices"));
  }
  return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
}

absl::StatusOr<std::string> ChoosePrecision(const std::string& name,
                                            const at::Device& device) {
  if (name == "auto") return device.is_cuda() ? "fp16" : "fp32";
  if (name == "fp32" || (name == "fp16" && device.is_cuda())) return name;
  const bool known = name == "fp16" || name == "bf16" || name == "int8";
  return absl::InvalidArgumentError(
      absl::StrCat("precision '", name, "'",
                   known ? " is not in this build yet" : " is unknown", ": on ",
                   device.is_cuda() ? "CUDA allowed are auto, fp16 and fp32"
                                    : "the CPU allowed are auto and fp32"));
}

class TorchModel : public Model {
 public:
  TorchModel(const Checkpoint& checkpoint, const Compute& compute,
             ModelInfo info, int max_batch)
      : info_(std::move(info)),
        compute_(compute),
        max_batch_(max_batch),
        text_(WeightLoader(checkpoint, compute)) {
    const WeightLoader loader(checkpoint, compute);
    const Architecture& all = checkpoint.architecture;
    vision_ = std::holds_alternative<VitShape>(all.vision)
                  ? MakeVitTower(loader)
                  : MakeResNetTower(loader);
    const auto channels = [&](const std::array<float, 3>& values) {
      return at::tensor(at::ArrayRef<float>(values))
          .view({3, 1, 1})
          .to(compute.device);
    };
    mean_ = channels(all.mean);
    std_ = channels(all.std);
  }

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
    const int64_t total = static_cast<int64_t>(sequences.size());
    const TextPlan plan =
        PlanText(sequences, compute_.device.is_cuda() ? kStepPositionsCuda
                                                      : kStepPositionsCpu);
    // The planned sequences, by their rows.
    std::vector<int64_t> order(sequences.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return plan.row_of[a] < plan.row_of[b];
    });
    int64_t positions = 0, done = 0;
    for (const TextStep& step : plan.steps) {
      std::vector<float> rows;
      const absl::Status status = EncodeStep(plan, step, &rows);
      if (!status.ok()) return status;
      positions += (step.end - step.begin) * step.length;
      for (; done < total && plan.row_of[order[done]] < step.end; ++done) {
        sink(order[done],
             absl::MakeConstSpan(rows).subspan(
                 (plan.row_of[order[done]] - step.begin) * info_.embedding_dim,
                 info_.embedding_dim));
      }
      if (progress && !progress(done, total) && done < total) {
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
    const int images = compute_.device.is_cuda() ? max_batch_ : 1;
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
    const auto encode = [&]() -> absl::StatusOr<at::Tensor> {
      const int64_t n = static_cast<int64_t>(crops.size()),
                    size = info_.image_size;
      const at::Tensor bytes = at::empty({n, size, size, 3}, at::kByte);
      for (int64_t i = 0; i < n; ++i) {
        std::memcpy(bytes.data_ptr<uint8_t>() + i * crops[i].size(),
                    crops[i].data(), crops[i].size());
      }
      const Turn turn(&turns_, Turns::kImages);
      // ToTensor and Normalize of the reference, in their order and in float32.
      const at::Tensor pixels =
          bytes.to(compute_.device)
              .permute({0, 3, 1, 2})
              .to(at::kFloat, false, false, at::MemoryFormat::Contiguous)
              .div_(255)
              .sub_(mean_)
              .div_(std_);
      return ToHost(vision_->Encode(pixels.to(compute_.dtype)));
    };
    return Append(Guarded(compute_.device, encode), rows);
  }

  absl::Status EncodeStep(const TextPlan& plan, const TextStep& step,
                          std::vector<float>* rows) {
    const auto sequences = absl::MakeConstSpan(plan.rows).subspan(
        step.begin, step.end - step.begin);
    const auto encode = [&]() -> absl::StatusOr<at::Tensor> {
      const Turn turn(&turns_, Turns::kText);
      return ToHost(text_.Encode(sequences, step.length));
    };
    return Append(Guarded(compute_.device, encode), rows);
  }

  // Waits for the device, so that a turn ends when its work has.
  static at::Tensor ToHost(const at::Tensor& embeddings) {
    return UnitRows(embeddings).cpu().contiguous();
  }

  static absl::Status Append(const absl::StatusOr<at::Tensor>& embeddings,
                             std::vector<float>* rows) {
    if (!embeddings.ok()) return embeddings.status();
    const float* data = embeddings->data_ptr<float>();
    rows->insert(rows->end(), data, data + embeddings->numel());
    return absl::OkStatus();
  }

  const ModelInfo info_;
  const Compute compute_;
  const int max_batch_;
  const TextTower text_;
  std::unique_ptr<VisionTower> vision_;
  at::Tensor mean_;  // [3, 1, 1] float32, on the device
  at::Tensor std_;
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
  info.precision = precision;
  info.image_size = all.image_size;
  info.context_length = all.context_length;
  info.vocab_size = all.vocab_size;
  info.embedding_dim = all.embedding_dim;
  info.logit_scale =
      std::exp(WeightLoader(checkpoint, {}).Float("logit_scale").item<float>());
  return info;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> Model::Load(
    const std::string& path, const ModelOptions& options) {
  if (options.threads < 0 || options.max_batch < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("threads is ", options.threads, " and max_batch ",
                     options.max_batch, ", allowed are from 0 and from 1"));
  }
  const absl::StatusOr<at::Device> device = ChooseDevice(options.device);
  if (!device.ok()) return device.status();
  const absl::StatusOr<std::string> precision =
      ChoosePrecision(options.precision, *device);
  if (!precision.ok()) return precision.status();
  const absl::StatusOr<Checkpoint> checkpoint = ReadCheckpoint(path);
  if (!checkpoint.ok()) return checkpoint.status();

  const Compute compute{*device, *precision == "fp16" ? at::kHalf : at::kFloat};
  return Guarded(*device, [&]() -> absl::StatusOr<std::unique_ptr<Model>> {
    if (options.threads > 0) at::set_num_threads(options.threads);
    // fp32 means fp32 on GPUs too, whose convolutions would round to TF32.
    at::globalContext().setAllowTF32CuDNN(false);
    auto model = std::make_unique<TorchModel>(
        *checkpoint, compute, Describe(*checkpoint, *device, *precision),
        options.max_batch);
    absl::Status status = model->WarmUp();
    if (!status.ok()) return status;
    return model;
  });
}

}  // namespace clip
