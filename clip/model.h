// A CLIP model: an image tower and a text tower with one embedding space.
// No tensors in sight: crops and token ids go in, unit vectors come out, so
// that all of the service above compiles without LibTorch.
#ifndef ZEROSHOT_CLIP_MODEL_H_
#define ZEROSHOT_CLIP_MODEL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "clip/preprocessing.h"
#include "clip/tokenizer.h"

namespace clip {

struct ModelOptions {
  std::string device = "auto";     // auto, cpu, cuda, cuda:N[,N...]
  std::string precision = "auto";  // auto, fp32, bf16, fp16, int8
  // Of the CPU towers; 0: one per core, but no more than the control group's
  // quota of processor time, rounded up (base/control_group.h).
  int threads = 0;
  // Images that go through the tower at once, more are split; 0: what suits
  // the device (32 on the CPU, kGpuBatch on a GPU).
  static constexpr int kGpuBatch = 256;
  int max_batch = 0;
  std::string activation = "auto";  // quick_gelu, gelu: if no file says it
};

// One of the devices that a model computes on.
struct Device {
  std::string name;  // "cpu", "cuda:0"
  // "00000000:3b:00.0" (domain, bus, device, function in hex): by it the
  // server finds the same GPU in NVML, which counts GPUs otherwise than
  // CUDA_VISIBLE_DEVICES. Empty: no GPU, or not known.
  std::string pci_bus_id;
  // "NVIDIA H200, compute capability 9.0, driver for CUDA 13.0"; empty on the
  // CPU.
  std::string card = "";
};

// A device that answers no more: its driver has given it up, or an error of
// CUDA's that every later call repeats. Only a new process may use it again.
struct LostDevice {
  std::string name;
  absl::Status why;
};

// How probabilities are made of logits: one class is right (softmax), or each
// is right or wrong by itself (sigmoid).
enum class ScoreFunction { kSoftmax, kSigmoid };

// From the cosine of an image and a text to a probability:
//   logit = scale x cosine + bias, then the score function.
struct Head {
  ScoreFunction score_function = ScoreFunction::kSoftmax;
  float scale = 0;  // exp of the checkpoint's parameter
  float bias = 0;
};

// What a loaded model is. All fields are settled by Load.
struct ModelInfo {
  std::string name;         // the folder's or file's name
  bool is_demo = false;     // the checkpoint says that it is a demo
  std::string family;       // "ViT-B/32"-like: kind, size, patch; or "RN50"
  std::string fingerprint;  // SHA-256 in hex of weights, config, tokenizer,
                            // preprocessing: all that determines the numbers
  std::string device;       // all of them: "cpu", "cuda:0", "cuda:0,1"
  std::vector<Device> devices;  // one by one, lost ones too
  // Why --device=auto took the CPU in a build for GPUs; else empty.
  std::string why_no_gpu;
  // Calls of EncodeImages that keep all devices busy: 2 per GPU, so that the
  // crops of the next batch cross the bus while one computes; 1 on the CPU.
  int batches_at_once = 1;
  std::string precision;              // "fp32", "fp16", ...
  std::string activation;             // of the text tower: "quick_gelu", "gelu"
  std::vector<std::string> warnings;  // what Load took for granted
  int threads = 0;                    // of the CPU towers; 0 on a GPU
  int max_batch = 32;                 // images that go through a tower at once
  std::string graphs;  // on a GPU: which batches run as CUDA graphs and the
                       // memory they hold, or why there are none
  Preprocessing preprocessing;
  std::shared_ptr<const Tokenizer> tokenizer;
  int context_length = 0;    // longest token sequence
  std::string text_padding;  // what is done to shorter ones, in words
  int vocab_size = 0;
  int embedding_dim = 0;
  Head head;
  // Sorted ids whose embedding is all zeros: words it was not trained on.
  std::vector<int32_t> unseen_tokens;
  int64_t parameters = 0;
  std::string stored_as;  // "float16", or "float16, float32"
};

// Receives the unit row [embedding_dim] of sequences[sequence]. Called on the
// thread of EncodeText, once for each sequence, in any order; the row is gone
// when it returns.
using TextSink =
    std::function<void(int64_t sequence, absl::Span<const float> row)>;

// Called on the same thread after each step of EncodeText, or after some that
// several devices took meanwhile, with how many sequences are done and the
// token positions computed for them; returning false before all are done stops
// the call with Cancelled.
using TextProgress =
    std::function<bool(int64_t done, int64_t total, int64_t positions)>;

// Called for each device that is lost, once, on the thread of a call that met
// it.
using OnDeviceLost = std::function<void(const LostDevice& device)>;

// Thread rule: every method may be called from many threads at once; calls on
// one device take turns in bounded steps, so that a long EncodeText delays
// EncodeImages by one step at most.
//
// Every call may also end as Unavailable: no device is left, for good. A
// device that is lost while others are left costs its calls time, no more.
class Model {
 public:
  // Loads a checkpoint and warms it up. `path` is a folder of Hugging Face or
  // open_clip, or one around it, or a file of weights: docs/checkpoints.md.
  //
  // NotFound: nothing at `path`. InvalidArgument: unsupported option or
  // checkpoint; the message names the tensor or key, what was found and what
  // was expected. FailedPrecondition: a device that this machine lacks.
  static absl::StatusOr<std::unique_ptr<Model>> Load(
      const std::string& path, const ModelOptions& options);

  // What Load would load, from the configuration and the list of tensors
  // alone: no weights are read, and fingerprint, head and graphs are
  // empty. Errors are those of Load that can be told so.
  static absl::StatusOr<ModelInfo> Inspect(const std::string& path,
                                           const ModelOptions& options);

  // The names of the devices that Load would use; reads no checkpoint. Errors
  // are those of Load about the device.
  static absl::StatusOr<std::vector<std::string>> Devices(
      const ModelOptions& options);

  virtual ~Model() = default;

  virtual const ModelInfo& info() const = 0;

  // What the model was trained for, and on: how scores are made, what is done
  // to images, and how texts become tokens.
  const Head& head() const { return info().head; }
  const Preprocessing& preprocessing() const { return info().preprocessing; }
  const Tokenizer& tokenizer() const { return *info().tokenizer; }

  // How many of info().devices still compute.
  virtual int devices_left() const {
    return static_cast<int>(info().devices.size());
  }

  // Those that do not.
  virtual std::vector<LostDevice> lost_devices() const { return {}; }

  // From now on `on_lost` is called, first for those that are lost already
  // before it returns. A model that loses none never calls it.
  virtual void SetOnDeviceLost(OnDeviceLost /*on_lost*/) {}

  // Crops, each of the shape preprocessing().crop, to unit rows [n,
  // embedding_dim]. The result of a crop does not depend on the
  // others by more than rounding.
  //
  // InvalidArgument: a crop of another size. ResourceExhausted: not even one
  // crop fits into the device's memory. Unavailable: the device is lost, and
  // will not come back: every later call says so too.
  virtual absl::StatusOr<std::vector<float>> EncodeImages(
      absl::Span<const absl::Span<const uint8_t>> crops) = 0;

  // Token sequences (from Tokenizer, start and end token included, unpadded)
  // to unit rows, handed to `sink` step by step, so that memory does not grow
  // with their number. `progress` may be null. Returns how many token
  // positions were computed, padding included.
  //
  // InvalidArgument: an empty or too long sequence, or an id outside the
  // vocabulary. Cancelled: progress said stop. ResourceExhausted,
  // Unavailable: as above. After an error the sequences that `sink` got are
  // valid.
  virtual absl::StatusOr<int64_t> EncodeText(
      absl::Span<const std::vector<int32_t>> sequences, const TextSink& sink,
      const TextProgress& progress) = 0;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_MODEL_H_
