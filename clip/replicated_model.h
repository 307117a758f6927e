// One model on several devices: a replica on each, and every call goes where
// there is room.
//
// A replica whose call ends as Unavailable has lost its device. It is taken
// out for good and the call is made again on another, so that callers notice
// nothing but the time. One that is out of memory stays: that call alone is
// made elsewhere.
//
// With one replica this is how a lost device is remembered and reported.
#ifndef ZEROSHOT_CLIP_REPLICATED_MODEL_H_
#define ZEROSHOT_CLIP_REPLICATED_MODEL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/mutex.h"
#include "clip/model.h"

namespace clip {

// Thread rule: every method may be called from many threads at once. EncodeText
// of many sequences has a thread for each device as long as it runs.
class ReplicatedModel : public Model {
 public:
  // REQUIRES: at least one replica; the same checkpoint in the same precision,
  // each on one device of its own.
  explicit ReplicatedModel(std::vector<std::unique_ptr<Model>> replicas);

  const ModelInfo& info() const override { return info_; }
  int devices_left() const override { return left_; }
  std::vector<LostDevice> lost_devices() const override;
  void SetOnDeviceLost(OnDeviceLost on_lost) override;

  // The crops go to the freest device as one call.
  absl::StatusOr<std::vector<float>> EncodeImages(
      absl::Span<const absl::Span<const uint8_t>> crops) override;

  // Few sequences go to the freest device. Many are sorted, so that those which
  // begin alike stay together, and handed out in shards to whichever device has
  // nothing to do; large shards first, so that all end at about the same time.
  absl::StatusOr<int64_t> EncodeText(
      absl::Span<const std::vector<int32_t>> sequences, const TextSink& sink,
      const TextProgress& progress) override;

 private:
  enum Kind { kImages = 0, kText = 1 };

  // Its members but `model` are guarded by mu_.
  struct Replica {
    std::unique_ptr<Model> model;
    int calls[2] = {0, 0};  // inside, by kind
    int64_t last_call = 0;  // of all replicas' calls, which was its last
    bool lost = false;
    absl::Status why;
  };

  // Many sequences and the threads that encode them.
  class ShardedEncode;

  std::vector<LostDevice> Lost() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // The freest that is not among `passed_over`, with one more call inside; null
  // if there is none. Freest: fewest image calls, then fewest text calls, then
  // longest without one, so that an idle server's watchdog sees each in turn.
  Replica* Begin(Kind kind, absl::Span<Replica* const> passed_over);
  // All that are not lost, with one more text call inside each.
  std::vector<Replica*> BeginTextOnAll();
  void End(Replica* replica, Kind kind);

  // Whether `status`, of a call on `replica`, is one to try another replica
  // after; takes it out if its device is lost.
  bool TryAnother(Replica* replica, const absl::Status& status);

  absl::StatusOr<int64_t> EncodeOnOne(
      absl::Span<const std::vector<int32_t>> sequences, const TextSink& sink,
      const TextProgress& progress);

  // What to answer when no replica is left to try, of which the last that
  // stays said `exhausted`.
  absl::Status NoneLeft(const absl::Status& exhausted) const;

  ModelInfo info_;
  std::atomic<int> left_;
  mutable base::Mutex mu_;
  std::vector<std::unique_ptr<Replica>> replicas_;  // the pointers never change
  int64_t calls_ ABSL_GUARDED_BY(mu_) = 0;
  OnDeviceLost on_lost_ ABSL_GUARDED_BY(mu_);
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_REPLICATED_MODEL_H_
