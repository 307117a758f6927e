// A Model on one device: checks inputs, cuts calls into steps and batches that
// the backend computes, halves them where memory runs out, and remembers that a
// device is lost.
#ifndef ZEROSHOT_CLIP_STEPPED_MODEL_H_
#define ZEROSHOT_CLIP_STEPPED_MODEL_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "base/mutex.h"
#include "clip/adaptive_size.h"
#include "clip/backend.h"
#include "clip/checkpoint/architecture.h"
#include "clip/model.h"

namespace clip {

// Thread rule: Model's; WarmUp before all other calls.
class SteppedModel : public Model {
 public:
  // `info` is the model's but for what the backend decides; of `text` only how
  // texts are masked, padded and pooled is used.
  SteppedModel(std::unique_ptr<Backend> backend, ModelInfo info,
               const Architecture& text);

  // Takes the first call's costs (threads, kernels, memory) before traffic.
  absl::Status WarmUp();

  const ModelInfo& info() const override { return info_; }
  absl::StatusOr<std::vector<float>> EncodeImages(
      absl::Span<const absl::Span<const uint8_t>> crops) override;
  absl::StatusOr<int64_t> EncodeText(
      absl::Span<const std::vector<int32_t>> sequences, const TextSink& sink,
      const TextProgress& progress) override;

 private:
  // The next steps of one turn; none: all are done.
  std::vector<TextStep> NextRound(TrieSteps* steps);
  // What an error of the backend means for this call and those to come.
  absl::Status Remembered(const absl::Status& status);
  // Not OK: the device is lost.
  absl::Status Lost();

  const std::unique_ptr<Backend> backend_;
  ModelInfo info_;  // changed by WarmUp only
  const TextMask text_mask_;
  const bool class_token_;             // WithClassTokens
  const absl::optional<int32_t> end_;  // CutAtPool's
  AdaptiveSize batch_;                 // images
  AdaptiveSize step_;                  // nodes
  base::Mutex mu_;
  absl::Status lost_ ABSL_GUARDED_BY(mu_);
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_STEPPED_MODEL_H_
