// Model::Load over LibTorch: options, device, engine.
#include "clip/model.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "clip/checkpoint/checkpoint.h"
#include "clip/compute_thread.h"
#include "clip/cpu_quota.h"
#include "clip/replicated_model.h"
#include "clip/stepped_model.h"
#include "clip/torch/caught.h"
#include "clip/torch/cpu_engine.h"
#include "clip/torch/cuda/cuda_device.h"
#include "clip/torch/device.h"
#include "clip/torch/tensors.h"

namespace clip {
namespace {

// Of images, unless told otherwise. A GPU still gains from more where a CPU's
// threads have long had enough; its graphs' memory grows with it
// (clip/torch/cuda/image_graphs.h).
constexpr int kCpuBatch = 32, kCudaBatch = 256;

ModelInfo Describe(const Checkpoint& checkpoint, const at::Device& device,
                   const std::string& precision) {
  const Architecture& all = checkpoint.architecture;
  ModelInfo info;
  info.name = checkpoint.name;
  info.family = FamilyName(all);
  info.fingerprint = Fingerprint(checkpoint);
  info.device = device.str();
  info.devices = {
      {device.str(), device.is_cuda() ? CudaBusId(device.index()) : ""}};
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
  const int max_batch = options.max_batch > 0 ? options.max_batch
                        : device.is_cuda()    ? kCudaBatch
                                              : kCpuBatch;
  const auto compute = std::make_shared<ComputeThread>();
  const auto load = [&]() -> absl::StatusOr<std::unique_ptr<SteppedModel>> {
    at::set_num_threads(options.threads > 0
                            ? options.threads
                            : ThreadsWithin(CpuQuota(), at::get_num_threads()));
    const WeightLoader loader(checkpoint, {device, TypeFor(precision, device)});
    if (device.is_cuda()) SetUpCuda();
    return std::make_unique<SteppedModel>(
        device.is_cuda() ? MakeCudaEngine(loader, max_batch, compute)
                         : MakeCpuEngine(loader, CpuPrecisionOf(precision),
                                         max_batch, compute),
        Describe(checkpoint, device, precision),
        checkpoint.architecture.causal_text);
  };
  absl::StatusOr<std::unique_ptr<SteppedModel>> model =
      Guarded(compute.get(), device, load);
  if (!model.ok()) return model.status();
  absl::Status status = (*model)->WarmUp();
  if (!status.ok()) return status;
  return *std::move(model);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> Model::Load(
    const std::string& path, const ModelOptions& options) {
  if (options.threads < 0 || options.max_batch < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("threads is ", options.threads, " and max_batch ",
                     options.max_batch, ", allowed are from 0 on"));
  }
  const absl::StatusOr<std::vector<at::Device>> devices =
      ChooseDevices(options.device);
  if (!devices.ok()) return devices.status();
  const absl::StatusOr<std::string> precision =
      ChoosePrecision(options.precision, devices->front());
  if (!precision.ok()) return precision.status();
  const absl::StatusOr<Checkpoint> checkpoint = ReadCheckpoint(path);
  if (!checkpoint.ok()) return checkpoint.status();
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
