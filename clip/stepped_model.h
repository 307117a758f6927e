// A Model on one device: checks inputs, cuts calls into steps and batches that
// the engine computes, halves them where memory runs out, and remembers that a
// device is lost.
#ifndef ZEROSHOT_CLIP_STEPPED_MODEL_H_
#define ZEROSHOT_CLIP_STEPPED_MODEL_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/mutex.h"
#include "clip/engine.h"
#include "clip/halving.h"
#include "clip/model.h"

namespace clip {

// Thread rule: Model's; WarmUp before all other calls.
class SteppedModel : public Model {
 public:
  // `info` is the model's but for what the engine decides. `causal_text`: a
  // sequence may be cut behind the token that it is pooled at.
  SteppedModel(std::unique_ptr<Engine> engine, ModelInfo info,
               bool causal_text);

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
  // What an error of the engine means for this call and those to come.
  absl::Status Remembered(const absl::Status& status);
  // Not OK: the device is lost.
  absl::Status Lost();

  const std::unique_ptr<Engine> engine_;
  ModelInfo info_;  // changed by WarmUp only
  const bool causal_text_;
  Halving batch_;  // images
  Halving step_;   // nodes
  base::Mutex mu_;
  absl::Status lost_ ABSL_GUARDED_BY(mu_);
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_STEPPED_MODEL_H_
