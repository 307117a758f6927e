// A part of what one EncodeText call was asked for, which may change devices.
#ifndef ZEROSHOT_CLIP_TEXT_SHARD_H_
#define ZEROSHOT_CLIP_TEXT_SHARD_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "clip/model.h"

namespace clip {

using TextSequences = absl::Span<const std::vector<int32_t>>;

// What Model::EncodeText demands of its sequences: InvalidArgument names the
// first that is empty, too long or has an id outside the vocabulary.
absl::Status CheckSequences(TextSequences sequences, const ModelInfo& info);

// What Model::EncodeText returns when `progress` said stop.
absl::Status StoppedAfter(int64_t done, int64_t total);

// Some of a call's sequences. After a failure it is those that have no row yet.
class TextShard {
 public:
  // All of them, as they came. Borrows the sequences.
  explicit TextShard(TextSequences call) : call_(call), whole_(true) {}
  TextShard(TextSequences call, std::vector<int64_t> members)
      : call_(call), members_(std::move(members)), whole_(false) {}

  int64_t size() const {
    return static_cast<int64_t>(whole_ ? call_.size() : members_.size());
  }

  // Model::EncodeText, with `sink` given places in the call.
  absl::StatusOr<int64_t> EncodeOn(Model* model, const TextSink& sink,
                                   const TextProgress& progress);

 private:
  int64_t PlaceOf(int64_t i) const { return whole_ ? i : members_[i]; }

  TextSequences call_;
  std::vector<int64_t> members_;  // unless whole_
  bool whole_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_SHARD_H_
