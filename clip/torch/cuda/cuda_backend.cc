// One GPU. Two streams: one computes, on the other crops cross the bus.
//
// Everything that computes is queued by the model's compute thread on the
// compute stream, so that the stream orders it: graphs share memory, a tensor
// that is freed may be used again by what is queued next, and cuBLAS has one
// handle and one workspace. Callers wait on their own threads.
#include <ATen/core/CachingHostAllocator.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/monotonic.h"
#include "clip/batch_ladder.h"
#include "clip/device_scheduler.h"
#include "clip/torch/caught.h"
#include "clip/torch/cuda/cuda_device.h"
#include "clip/torch/cuda/cuda_transformer.h"
#include "clip/torch/cuda/image_graphs.h"
#include "clip/torch/cuda/queue.h"
#include "clip/torch/cuda/row_buffers.h"
#include "clip/torch/cuda/staging.h"
#include "clip/torch/text_tower.h"
#include "clip/torch/vision_tower.h"

namespace clip {
namespace {

// Nodes of a text step. Products with tens of thousands of rows run at the
// device's rate; with 32,768 the last, partly filled wave of tiles is about a
// percent even of the narrowest one. A node takes 24 bytes by width (4 of the
// residual stream, 2 each of norm, attention and sum, 6 of query, key and
// value, 8 of the hidden layer; twice most of that in fp32): half a gigabyte
// for ViT-B, less than one for ViT-L. Wider and deeper towers get fewer, so
// that an image batch waits for some 10 ms on a large card, 150 ms on a small
// one.
constexpr int64_t kStepMultiplications = 2'800'000'000'000;
constexpr int64_t kMinStepNodes = 4096, kMaxStepNodes = 32768;
// Of causal sequences that are padded: each is up to 77 rows.
constexpr int64_t kPaddedStepNodes = 8192;

int64_t StepNodes(const TransformerShape& text) {
  return std::clamp(kStepMultiplications / text.multiplications(),
                    kMinStepNodes, kMaxStepNodes);
}

std::unique_ptr<VisionTower> MakeVisionTower(const WeightLoader& loader) {
  if (std::holds_alternative<ResNetShape>(loader.architecture().vision))
    return MakeResNetTower(loader);
  std::unique_ptr<VisionTower> tower = MakeCudaVitTower(loader);
  return tower != nullptr ? std::move(tower) : MakeVitTower(loader);
}

// Null: the tower's sequences share nothing.
std::unique_ptr<TextTower> MakeTrieTower(const WeightLoader& loader) {
  return loader.architecture().text_mask == TextMask::kCausal
             ? MakeCudaTrieTextTower(loader)
             : nullptr;
}

class CudaBackend : public Backend {
 public:
  // REQUIRES: `stream` is current, and not the default one.
  CudaBackend(const WeightLoader& loader, int max_batch, bool may_be_less,
              std::shared_ptr<ComputeThread> compute,
              c10::cuda::CUDAStream stream)
      : compute_(std::move(compute)),
        device_(loader.compute().device),
        stream_(stream),
        copy_stream_(c10::cuda::getStreamFromPool(false, device_.index())),
        image_size_(loader.architecture().image_size),
        vision_(MakeVisionTower(loader)),
        trie_text_(MakeTrieTower(loader)),
        sequence_text_(trie_text_ ? nullptr : MakeSequenceTextTower(loader)),
        plan_{.max_batch = max_batch,
              .step_nodes = trie_text_ || loader.architecture().text_mask !=
                                              TextMask::kCausal
                                ? StepNodes(loader.architecture().text)
                                : kPaddedStepNodes,
              .warm_full_step = true},
        may_be_less_(may_be_less),
        staging_(device_, max_batch, image_size_,
                 loader.architecture().embedding_dim),
        // Prompts of a build share half of their nodes, or more.
        text_rows_(plan_.step_nodes / 2, loader.architecture().embedding_dim) {}

  const Plan& plan() const override { return plan_; }

  // A batch is sent while another computes, and queued behind it: its turn is
  // over when it is queued, and there are no more batches than slots. So one
  // follows the other without a gap, and a text step that waits for its turn
  // has two batches before it at most.
  absl::Status EncodeImages(absl::Span<const absl::Span<const uint8_t>> crops,
                            float* rows) override {
    const SlotLease slot(&staging_);
    absl::Status status = Caught(device_, [&] {
      Send(crops, slot);
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    {
      const DeviceTurn turn(&scheduler_, DeviceScheduler::kImages);
      status = Guarded(compute_.get(), device_, [&] {
        QueueImages(static_cast<int64_t>(crops.size()), slot);
        return absl::OkStatus();
      });
    }
    if (!status.ok()) return status;
    status = Caught(device_, [&] {
      slot->done.Wait();
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    std::memcpy(rows, slot->host_rows.data_ptr(),
                crops.size() * slot->host_rows.size(1) * sizeof(float));
    return absl::OkStatus();
  }

  // A step's turn is over when it is queued, as a batch's is: what the caller
  // does with the step before it holds up no image. The next step is not queued
  // before this one is done, so that an image batch has one step before it at
  // most, however many builds there are.
  absl::StatusOr<std::vector<HostRows>> EncodeText(
      absl::Span<const TextStep> round,
      const std::function<void()>& meanwhile) override {
    std::vector<HostRows> all;
    const DeviceTurn step(&steps_, DeviceScheduler::kText);
    absl::Status status;
    {
      const DeviceTurn turn(&scheduler_, DeviceScheduler::kText);
      status = Guarded(compute_.get(), device_, [&] {
        const c10::cuda::CUDAStreamGuard guard(stream_);
        all.push_back(QueueText(round[0].trie));  // plan_.round_steps is 1
        text_done_.Record(stream_);
        return absl::OkStatus();
      });
    }
    if (!status.ok()) return status;
    status = Caught(device_, [&] {
      meanwhile();
      text_done_.Wait();
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    return all;
  }

  int64_t Positions(const TokenTrie& trie) const override {
    return text().Positions(trie);
  }

  absl::StatusOr<std::string> WarmUp() override {
    size_t before = 0, after = 0, total = 0;
    const int asked = plan_.max_batch;
    const absl::Status captured = Guarded(compute_.get(), device_, [&] {
      const c10::cuda::CUDAStreamGuard guard(stream_);
      // What CUDA's libraries take for themselves is not the graphs'.
      vision_->Encode(at::zeros({1, image_size_, image_size_, 3},
                                at::TensorOptions(device_).dtype(at::kByte)));
      if (may_be_less_) plan_.max_batch = FastEnough(plan_.max_batch);
      c10::cuda::CUDACachingAllocator::emptyCache();
      CheckCuda(cudaMemGetInfo(&before, &total));
      const absl::Status status =
          graphs_.Capture(device_, plan_.max_batch, image_size_,
                          [this](const at::Tensor& crops) {
                            return CudaUnitRows(vision_->Encode(crops));
                          });
      c10::cuda::CUDACachingAllocator::emptyCache();
      CheckCuda(cudaMemGetInfo(&after, &total));
      return status;
    });
    if (absl::IsUnavailable(captured)) return captured;
    const bool less = plan_.max_batch < asked;
    if (!captured.ok() || graphs_.count() == 0) {
      return absl::StrCat("no CUDA graphs, batches run kernel by kernel: ",
                          captured.ok() ? "no memory" : captured.message());
    }
    return absl::StrCat(
        graphs_.count(), " CUDA graphs for batches of 1 to ", graphs_.largest(),
        " images hold ", (before - std::min(before, after)) >> 20, " MiB",
        less ? "; larger batches are not faster, or too long" : "");
  }

  void FreeCached() override {
    // If this fails the next call says why.
    Guarded(compute_.get(), device_, [&] {
      c10::cuda::CUDACachingAllocator::emptyCache();
      at::getHostAllocator(at::kCUDA)->empty_cache();
      return absl::OkStatus();
    }).IgnoreError();
  }

 private:
  const TextTower& text() const {
    return trie_text_ ? *trie_text_ : *sequence_text_;
  }

  // The batch, of up to `largest` images, that this card is best given: a small
  // one would be busy with 256 for seconds. Where there is no memory for more,
  // what fitted.
  int FastEnough(int largest) {
    std::vector<TimedBatch> timed;
    for (const int n : BatchLadder(largest)) {
      const at::Tensor crops =
          at::zeros({n, image_size_, image_size_, 3},
                    at::TensorOptions(device_).dtype(at::kByte));
      const auto encode = [&] {
        vision_->Encode(crops);
        CheckCuda(cudaStreamSynchronize(stream_));
      };
      const auto first_time = [&] {
        encode();
        return absl::OkStatus();
      };
      // The first time kernels are chosen and loaded.
      if (const absl::Status first = Caught(device_, first_time); !first.ok()) {
        if (absl::IsResourceExhausted(first) && !timed.empty()) break;
        return largest;  // capturing says why
      }
      const absl::Time start = base::MonotonicNow();
      encode();
      timed.push_back({n, absl::ToDoubleSeconds(base::MonotonicNow() - start)});
      if (timed.back().seconds > kLongestBatchSeconds) break;
    }
    return WorthwhileBatch(timed);
  }

  // To the device, without waiting.
  void Send(absl::Span<const absl::Span<const uint8_t>> crops,
            const SlotLease& slot) const {
    uint8_t* to = slot->host_crops.data_ptr<uint8_t>();
    for (const absl::Span<const uint8_t> crop : crops) {
      std::memcpy(to, crop.data(), crop.size());
      to += crop.size();
    }
    CheckCuda(cudaMemcpyAsync(slot->device_crops.data_ptr(),
                              slot->host_crops.data_ptr(),
                              to - slot->host_crops.data_ptr<uint8_t>(),
                              cudaMemcpyHostToDevice, copy_stream_));
    slot->copied.Record(copy_stream_);
  }

  void QueueImages(int64_t n, const SlotLease& slot) {
    const c10::cuda::CUDAStreamGuard guard(stream_);
    slot->copied.Block(stream_);
    const at::Tensor crops = slot->device_crops.narrow(0, 0, n);
    const at::Tensor rows = n <= graphs_.largest()
                                ? graphs_.Run(crops)
                                : CudaUnitRows(vision_->Encode(crops));
    CheckCuda(cudaMemcpyAsync(slot->host_rows.data_ptr(), rows.data_ptr(),
                              rows.nbytes(), cudaMemcpyDeviceToHost, stream_));
    slot->done.Record(stream_);
  }

  HostRows QueueText(const TokenTrie& trie) {
    const at::Tensor rows = CudaUnitRows(text().Encode(trie));
    const auto host = text_rows_.Take(rows.size(0));
    CheckCuda(cudaMemcpyAsync(host->data_ptr(), rows.data_ptr(), rows.nbytes(),
                              cudaMemcpyDeviceToHost, stream_));
    return {host, host->data_ptr<float>()};
  }

  const std::shared_ptr<ComputeThread> compute_;
  const at::Device device_;
  const c10::cuda::CUDAStream stream_, copy_stream_;
  const int64_t image_size_;
  const std::unique_ptr<VisionTower> vision_;
  const std::unique_ptr<TextTower> trie_text_, sequence_text_;  // one of them
  Plan plan_;               // changed by WarmUp only
  const bool may_be_less_;  // its max_batch
  Staging staging_;
  RowBuffers text_rows_;
  // Taken before scheduler_ by a text step, and kept until it is done.
  DeviceScheduler steps_;
  Event text_done_;            // of its holder
  ImageGraphs graphs_;         // of the compute thread
  DeviceScheduler scheduler_;  // on the compute stream: who queues next
};

}  // namespace

std::unique_ptr<Backend> MakeCudaBackend(
    const WeightLoader& loader, int max_batch, bool may_be_less,
    std::shared_ptr<ComputeThread> compute) {
  const c10::cuda::CUDAStream stream =
      c10::cuda::getStreamFromPool(false, loader.compute().device.index());
  const c10::cuda::CUDAStreamGuard guard(stream);
  auto backend = std::make_unique<CudaBackend>(loader, max_batch, may_be_less,
                                               std::move(compute), stream);
  // The other stream must not begin before all is in its place.
  CheckCuda(cudaStreamSynchronize(stream));
  return backend;
}

}  // namespace clip
