// What one device computes for a model, step by step: the border between the
// loops that are alike everywhere (clip/stepped_model.h) and the towers
// (clip/torch/). No tensors in sight.
#ifndef ZEROSHOT_CLIP_BACKEND_H_
#define ZEROSHOT_CLIP_BACKEND_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "clip/token_trie.h"

namespace clip {

// Unit rows [n, embedding_dim] in the host's memory, with what owns them.
struct HostRows {
  std::shared_ptr<const void> owner;
  const float* data = nullptr;
};

// Thread rule: every method may be called from many threads at once; text steps
// and image batches take turns on the device (clip/device_scheduler.h).
//
// Errors of all that compute: ResourceExhausted if memory ran out; then the
// device is idle again, and less may be tried. Unavailable: the device is lost.
class Backend {
 public:
  // How much to give it at once. Fixed when it is made, except for max_batch,
  // which WarmUp may make smaller.
  struct Plan {
    int max_batch = 1;        // images
    int64_t step_nodes = 1;   // nodes of a text step
    int64_t round_steps = 1;  // text steps computed in one turn
    // Whether a full text step prepares something that a small one does not.
    bool warm_full_step = false;
  };

  virtual ~Backend() = default;

  virtual const Plan& plan() const = 0;

  // 1 to max_batch crops, each checked by CheckCrop, to unit rows [n,
  // embedding_dim] at `rows`.
  virtual absl::Status EncodeImages(
      absl::Span<const absl::Span<const uint8_t>> crops, float* rows) = 0;

  // 1 to round_steps text steps to the unit rows of each one's ends. A backend
  // whose device is another than the CPU calls `meanwhile` while that computes,
  // once and on the caller's thread: for what the CPU has to prepare.
  virtual absl::StatusOr<std::vector<HostRows>> EncodeText(
      absl::Span<const TextStep> round,
      const std::function<void()>& meanwhile) = 0;

  // Token positions that a step with this trie computes, padding included.
  virtual int64_t Positions(const TokenTrie& trie) const = 0;

  // Takes the first call's costs before traffic: all that batches of images
  // need. Returns what is worth telling (ModelInfo::graphs), or nothing.
  virtual absl::StatusOr<std::string> WarmUp() = 0;

  // Gives memory back that is kept for later use only.
  virtual void FreeCached() = 0;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_BACKEND_H_
