#include "clip/text_shard.h"

#include "absl/strings/str_cat.h"

namespace clip {

absl::Status CheckSequences(TextSequences sequences, const ModelInfo& info) {
  for (size_t i = 0; i < sequences.size(); ++i) {
    const std::vector<int32_t>& ids = sequences[i];
    if (ids.empty() || ids.size() > static_cast<size_t>(info.context_length)) {
      return absl::InvalidArgumentError(
          absl::StrCat("token sequence ", i, " has ", ids.size(),
                       " tokens; 1 to ", info.context_length, " are allowed"));
    }
    for (const int32_t id : ids) {
      if (id >= 0 && id < info.vocab_size) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("token sequence ", i, " has id ", id, "; 0 to ",
                       info.vocab_size - 1, " is allowed"));
    }
  }
  return absl::OkStatus();
}

absl::Status StoppedAfter(int64_t done, int64_t total) {
  return absl::CancelledError(
      absl::StrCat("stopped after ", done, " of ", total, " sequences"));
}

absl::StatusOr<int64_t> TextShard::EncodeOn(Model* model, const TextSink& sink,
                                            const TextProgress& progress) {
  std::vector<std::vector<int32_t>> copies;
  if (!whole_) {
    copies.reserve(members_.size());
    for (const int64_t member : members_) copies.push_back(call_[member]);
  }
  std::vector<bool> done(size());
  absl::StatusOr<int64_t> positions = model->EncodeText(
      whole_ ? call_ : TextSequences(copies),
      [&](int64_t i, absl::Span<const float> row) {
        done[i] = true;
        sink(PlaceOf(i), row);
      },
      progress);
  if (positions.ok()) return positions;
  std::vector<int64_t> rest;
  for (size_t i = 0; i < done.size(); ++i) {
    if (!done[i]) rest.push_back(PlaceOf(i));
  }
  members_ = std::move(rest);
  whole_ = false;
  return positions;
}

}  // namespace clip
