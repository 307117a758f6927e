// Model::Load over LibTorch: options, device, backend.
#include "clip/model.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "base/control_group.h"
#include "clip/checkpoint/checkpoint.h"
#include "clip/compute_thread.h"
#include "clip/replicated_model.h"
#include "clip/stepped_model.h"
#include "clip/torch/caught.h"
#include "clip/torch/cpu_backend.h"
#include "clip/torch/cuda/cuda_device.h"
#include "clip/torch/device.h"
#include "clip/torch/tensors.h"

namespace clip {
namespace {

// Of images, unless told otherwise. A GPU still gains from more where a CPU's
// threads have long had enough; its graphs' memory grows with it
// (clip/torch/cuda/image_graphs.h).
constexpr int kCpuBatch = 32;

int ThreadsFor(const ModelOptions& options) {
  // LibTorch's own number: what is set for a model, it gives to new threads.
  static const int all = at::get_num_threads();
  return options.threads > 0 ? options.threads
                             : base::ThreadsWithin(base::CpuQuota(), all);
}

std::string Card(int index) {
  const auto [major, minor] = CudaCapability(index);
  const int cuda = CudaOfDriver();
  return absl::StrCat(CudaCardName(index), ", compute capability ", major, ".",
                      minor, ", driver for CUDA ", cuda / 1000, ".",
                      cuda % 1000 / 10);
}

// All that is known before a weight is read.
ModelInfo Describe(const Checkpoint& checkpoint, const at::Device& device,
                   const std::string& precision, const ModelOptions& options,
                   const std::string& why_no_gpu) {
  const Architecture& all = checkpoint.architecture;
  ModelInfo info;
  info.name = checkpoint.name;
  info.is_demo = checkpoint.is_demo;
  info.family = FamilyName(all);
  info.device = device.str();
  info.devices = {{device.str(), "", ""}};
  if (device.is_cuda()) {
    info.devices[0].pci_bus_id = CudaBusId(device.index());
    info.devices[0].card = Card(device.index());
  }
  info.why_no_gpu = why_no_gpu;
  info.batches_at_once = device.is_cuda() ? 2 : 1;
  info.precision = precision;
  info.activation = std::string(ActivationName(all.text.activation));
  info.warnings = checkpoint.warnings;
  info.threads = device.is_cpu() ? ThreadsFor(options) : 0;
  info.preprocessing = {
      CropShape(all.image_size, all.resize, all.bilinear, all.fill), all.mean,
      all.std};
  if (all.resize == ResizeMode::kPatches) {
    info.preprocessing.crop.patch = std::get<VitShape>(all.vision).patch;
    info.preprocessing.crop.most_patches = all.most_patches;
  }
  info.tokenizer = checkpoint.tokenizer;
  info.text_padding =
      all.text_mask != TextMask::kNone
          ? "not padded"
          : absl::StrCat("padded with token ", all.pad_token,
                         all.pad_left ? " in front" : "", ", which is seen");
  info.context_length = all.context_length;
  info.vocab_size = all.vocab_size;
  info.embedding_dim = all.embedding_dim;
  std::set<absl::string_view> dtypes;
  for (const auto& [name, weight] : checkpoint.weights) {
    info.parameters += std::accumulate(weight.shape.begin(), weight.shape.end(),
                                       int64_t{1}, std::multiplies<>());
    for (const TensorView& part : weight.parts) {
      if (!part.bytes.empty()) dtypes.insert(DTypeName(part.dtype));
    }
  }
  info.stored_as = absl::StrJoin(dtypes, ", ");
  return info;
}

// What a model would be, and all that it takes to load it.
struct Plan {
  std::vector<at::Device> devices;
  std::string why_no_gpu;
  std::string precision;
  Checkpoint checkpoint;
};

absl::StatusOr<Plan> MakePlan(const std::string& path,
                              const ModelOptions& options) {
  if (options.threads < 0 || options.max_batch < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("threads is ", options.threads, " and max_batch ",
                     options.max_batch, "; they must be 0 or more"));
  }
  std::string why_no_gpu;
  absl::StatusOr<std::vector<at::Device>> devices =
      ChooseDevices(options.device, &why_no_gpu);
  if (!devices.ok()) return devices.status();
  absl::StatusOr<std::string> precision =
      ChoosePrecision(options.precision, devices->front());
  if (!precision.ok()) return precision.status();
  absl::StatusOr<Checkpoint> checkpoint =
      ReadCheckpoint(path, options.activation);
  if (!checkpoint.ok()) return checkpoint.status();
  if (checkpoint->architecture.resize == ResizeMode::kPatches &&
      devices->front().is_cuda()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "checkpoint '", checkpoint->name,
        "': images of any grid of patches (SigLIP 2 NaFlex) are computed on "
        "the CPU only; set --device=cpu"));
  }
  absl::Status vocabulary = CheckVocabulary(*checkpoint);
  if (!vocabulary.ok()) return vocabulary;
  return Plan{*std::move(devices), std::move(why_no_gpu), *std::move(precision),
              *std::move(checkpoint)};
}

Head HeadOf(const Checkpoint& checkpoint) {
  const WeightLoader loader(checkpoint, {});
  Head head;
  head.scale = std::exp(loader.Float("logit_scale").item<float>());
  if (checkpoint.architecture.logit_bias) {
    head.score_function = ScoreFunction::kSigmoid;
    head.bias = loader.Float("logit_bias").item<float>();
  }
  return head;
}

// The model on one device, not warmed up yet.
absl::StatusOr<std::unique_ptr<SteppedModel>> LoadOn(
    const at::Device& device, const Plan& plan, const std::string& fingerprint,
    const ModelOptions& options) {
  const std::string& precision = plan.precision;
  const Checkpoint& checkpoint = plan.checkpoint;
  const int max_batch = options.max_batch > 0 ? options.max_batch
                        : device.is_cuda()    ? ModelOptions::kGpuBatch
                                              : kCpuBatch;
  const auto compute = std::make_shared<ComputeThread>();
  const auto load = [&]() -> absl::StatusOr<std::unique_ptr<SteppedModel>> {
    const int threads = ThreadsFor(options);
    // LibTorch has a pool and a team of them.
    if (!base::CanStartThreads(2 * threads)) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "out of threads: ", 2 * threads, " more cannot be started"));
    }
    at::set_num_threads(threads);
    const WeightLoader loader(checkpoint, {device, TypeFor(precision, device)});
    ModelInfo info =
        Describe(checkpoint, device, precision, options, plan.why_no_gpu);
    info.fingerprint = fingerprint;
    info.unseen_tokens = UnseenTokens(checkpoint);
    info.head = HeadOf(checkpoint);
    return std::make_unique<SteppedModel>(
        device.is_cuda() ? MakeCudaBackend(loader, max_batch,
                                           options.max_batch == 0, compute)
                         : MakeCpuBackend(loader, CpuPrecisionOf(precision),
                                          max_batch, compute),
        std::move(info), checkpoint.architecture);
  };
  return Guarded(compute.get(), device, load);
}

// On all devices at once: each takes its weights over a bus of its own.
std::vector<absl::StatusOr<std::unique_ptr<SteppedModel>>> LoadOnAll(
    const Plan& plan, const ModelOptions& options) {
  const std::string fingerprint = Fingerprint(plan.checkpoint);
  std::vector<absl::StatusOr<std::unique_ptr<SteppedModel>>> models(
      plan.devices.size());
  const auto load = [&](size_t i) {
    models[i] = LoadOn(plan.devices[i], plan, fingerprint, options);
  };
  std::vector<std::thread> threads;
  threads.reserve(models.size());
  for (size_t i = 1; i < models.size(); ++i) {
    try {
      threads.emplace_back(load, i);
    } catch (const std::system_error&) {  // there is no thread to be had
      load(i);
    }
  }
  load(0);
  for (std::thread& thread : threads) thread.join();
  return models;
}

}  // namespace

absl::StatusOr<ModelInfo> Model::Inspect(const std::string& path,
                                         const ModelOptions& options) {
  const absl::StatusOr<Plan> plan = MakePlan(path, options);
  if (!plan.ok()) return plan.status();
  ModelInfo info = Describe(plan->checkpoint, plan->devices.front(),
                            plan->precision, options, plan->why_no_gpu);
  for (size_t i = 1; i < plan->devices.size(); ++i) {
    absl::StrAppend(&info.device, ",", plan->devices[i].str());
  }
  return info;
}

absl::StatusOr<std::vector<std::string>> Model::Devices(
    const ModelOptions& options) {
  const auto devices = ChooseDevices(options.device);
  if (!devices.ok()) return devices.status();
  std::vector<std::string> names;
  for (const at::Device& device : *devices) names.push_back(device.str());
  return names;
}

absl::StatusOr<std::unique_ptr<Model>> Model::Load(
    const std::string& path, const ModelOptions& options) {
  const absl::StatusOr<Plan> plan = MakePlan(path, options);
  if (!plan.ok()) return plan.status();
  absl::Status finite = CheckFinite(plan->checkpoint);
  if (!finite.ok()) return finite;
  if (plan->devices.front().is_cuda()) SetUpCuda();
  std::vector<std::unique_ptr<Model>> replicas;
  for (auto& model : LoadOnAll(*plan, options)) {
    if (!model.ok()) return model.status();
    // One after the other: while one captures its graphs, the allocator that
    // all share must not give memory back.
    absl::Status warm = (*model)->WarmUp();
    if (!warm.ok()) return warm;
    replicas.push_back(*std::move(model));
  }
  // The CPU is never lost.
  if (plan->devices.front().is_cpu()) return std::move(replicas[0]);
  return std::make_unique<ReplicatedModel>(std::move(replicas));
}

}  // namespace clip
