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
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "clip/checkpoint/checkpoint.h"
#include "clip/token_trie.h"
#include "clip/torch/tensors.h"
#include "clip/torch/text_tower.h"
#include "clip/torch/vision_tower.h"
#include "clip/turns.h"

namespace clip {
namespace {

// What one text step computes: enough for matrix products to run at full speed,
// little enough for an image batch that waits for the step. On the CPU by
// multiplications, so that a step takes a fifth of a second whatever the tower
// (512 prefixes of ViT-B/32's on two cores).
constexpr int64_t kStepMultiplicationsPerThread = 10'000'000'000;
constexpr int64_t kMinStepNodes = 64, kMaxStepNodes = 8192;

int64_t StepNodes(const TransformerShape& text, const at::Device& device) {
  if (device.is_cuda()) return kMaxStepNodes;
  const int64_t node = int64_t{12} * text.width * text.width * text.layers;
  return std::clamp(
      at::get_num_threads() * kStepMultiplicationsPerThread / node,
      kMinStepNodes, kMaxStepNodes);
}

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
  const std::string best = device.is_cuda()   ? "fp16"
                           : CpuHasBFloat16() ? "bf16"
                                              : "fp32";
  if (name == "auto") return best;
  const std::vector<std::string> allowed =
      device.is_cuda() ? std::vector<std::string>{"fp16", "fp32"}
                       : std::vector<std::string>{"fp32", "bf16", "int8"};
  if (absl::c_linear_search(allowed, name)) return name;
  return absl::InvalidArgumentError(absl::StrCat(
      "precision '", name, "': on ", device.is_cuda() ? "CUDA" : "the CPU",
      " allowed are auto (here ", best, "), ", absl::StrJoin(allowed, ", ")));
}

CpuPrecision CpuPrecisionOf(const std::string& name) {
  if (name == "bf16") return CpuPrecision::kBf16;
  if (name == "int8") return CpuPrecision::kInt8;
  return CpuPrecision::kFp32;
}

// What towers compute in that have no CpuPrecision of their own.
at::ScalarType TypeFor(const std::string& precision) {
  if (precision == "fp16") return at::kHalf;
  if (precision == "fp32" || !CpuHasBFloat16()) return at::kFloat;
  return at::kBFloat16;
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
  TorchModel(const WeightLoader& loader, ModelInfo info, int max_batch)
      : info_(std::move(info)),
        device_(loader.compute().device),
        max_batch_(max_batch),
        causal_text_(loader.architecture().causal_text),
        step_nodes_(StepNodes(loader.architecture().text, device_)),
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
    while (steps.Next()) {
      const absl::StatusOr<at::Tensor> rows = EncodeStep(steps.trie());
      if (!rows.ok()) return rows.status();
      positions += text_->Positions(steps.trie());
      for (const TrieSteps::Member& member : steps.members()) {
        sink(member.sequence,
             {rows->data_ptr<float>() + member.end * info_.embedding_dim,
              static_cast<size_t>(info_.embedding_dim)});
      }
      done += static_cast<int64_t>(steps.members().size());
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
    const auto encode = [&]() -> absl::StatusOr<at::Tensor> {
      const int64_t n = static_cast<int64_t>(crops.size()),
                    size = info_.image_size;
      const at::Tensor bytes = at::empty({n, size, size, 3}, at::kByte);
      for (int64_t i = 0; i < n; ++i) {
        std::memcpy(bytes.data_ptr<uint8_t>() + i * crops[i].size(),
                    crops[i].data(), crops[i].size());
      }
      const Turn turn(&turns_, Turns::kImages);
      return ToHost(vision_->Encode(bytes.to(device_)));
    };
    const absl::StatusOr<at::Tensor> embeddings = Guarded(device_, encode);
    if (!embeddings.ok()) return embeddings.status();
    const float* data = embeddings->data_ptr<float>();
    rows->insert(rows->end(), data, data + embeddings->numel());
    return absl::OkStatus();
  }

  // Unit rows [trie.num_ends(), embedding_dim] on the host.
  absl::StatusOr<at::Tensor> EncodeStep(const TokenTrie& trie) {
    return Guarded(device_, [&]() -> absl::StatusOr<at::Tensor> {
      const Turn turn(&turns_, Turns::kText);
      return ToHost(text_->Encode(trie));
    });
  }

  // Waits for the device, so that a turn ends when its work has.
  static at::Tensor ToHost(const at::Tensor& embeddings) {
    return UnitRows(embeddings).cpu().contiguous();
  }

  const ModelInfo info_;
  const at::Device device_;
  const int max_batch_;
  const bool causal_text_;
  const int64_t step_nodes_;
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

  const Compute compute{*device, TypeFor(*precision)};
  return Guarded(*device, [&]() -> absl::StatusOr<std::unique_ptr<Model>> {
    if (options.threads > 0) at::set_num_threads(options.threads);
    // fp32 means fp32 on GPUs too, whose convolutions would round to TF32.
    at::globalContext().setAllowTF32CuDNN(false);
    auto model = std::make_unique<TorchModel>(
        WeightLoader(*checkpoint, compute),
        Describe(*checkpoint, *device, *precision), options.max_batch);
    absl::Status status = model->WarmUp();
    if (!status.ok()) return status;
    return model;
  });
}

}  // namespace clip
