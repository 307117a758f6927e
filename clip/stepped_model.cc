#include "clip/stepped_model.h"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "base/finite.h"
#include "clip/text_shard.h"
#include "clip/token_trie.h"

namespace clip {
namespace {

// Sequences without meaning that fill a step of `nodes` nodes, nearly.
std::vector<std::vector<int32_t>> WarmSequences(int64_t nodes,
                                                const ModelInfo& info) {
  const int32_t end = info.vocab_size - 1;
  const int length = std::min(info.context_length, 8);
  std::vector<std::vector<int32_t>> sequences;
  for (int64_t i = 0; i < std::max<int64_t>(1, nodes / length); ++i) {
    std::vector<int32_t> ids(length, 0);
    ids.back() = end;
    // Told apart by their first tokens, so that they share nothing. The first
    // ids are those that pad texts.
    const int32_t first = std::min(end, 2), count = end - first;
    int64_t number = i;
    for (int at = 0; at + 1 < length && count > 0; ++at, number /= count)
      ids[at] = first + static_cast<int32_t>(number % count);
    sequences.push_back(std::move(ids));
  }
  return sequences;
}

}  // namespace

SteppedModel::SteppedModel(std::unique_ptr<Backend> backend, ModelInfo info,
                           const Architecture& text)
    : backend_(std::move(backend)),
      info_(std::move(info)),
      text_mask_(text.text_mask),
      class_token_(text.text_pool == TextPool::kClass),
      end_(text.text_pool == TextPool::kEnd
               ? absl::optional<int32_t>(text.end_token)
               : absl::nullopt),
      batch_(1, backend_->plan().max_batch),
      // No step is smaller than its longest sequence.
      step_(info_.context_length,
            std::max<int64_t>(info_.context_length,
                              backend_->plan().step_nodes)) {
  info_.max_batch = backend_->plan().max_batch;
}

absl::Status SteppedModel::WarmUp() {
  absl::StatusOr<std::string> graphs = backend_->WarmUp();
  if (!graphs.ok()) return Remembered(graphs.status());
  info_.graphs = *std::move(graphs);
  info_.max_batch = backend_->plan().max_batch;
  const std::vector<uint8_t> crop = BlackCrop(info_.preprocessing.crop);
  const absl::Span<const uint8_t> crops[] = {crop};
  const absl::StatusOr<std::vector<float>> row = EncodeImages(crops);
  if (!row.ok()) return row.status();
  if (!base::AllFinite(*row))
    return base::NotFinite("the embedding of a black image");
  bool finite = true;
  const absl::Status status =
      EncodeText(
          backend_->plan().warm_full_step
              ? WarmSequences(backend_->plan().step_nodes, info_)
              : std::vector<std::vector<int32_t>>{{0}},
          [&](int64_t, absl::Span<const float> text) {
            finite = finite && base::AllFinite(text);
          },
          nullptr)
          .status();
  return finite ? status : base::NotFinite("the embedding of a text");
}

absl::StatusOr<std::vector<float>> SteppedModel::EncodeImages(
    absl::Span<const absl::Span<const uint8_t>> crops) {
  for (size_t i = 0; i < crops.size(); ++i) {
    const absl::Status status = CheckCrop(info_.preprocessing.crop, crops[i]);
    if (status.ok()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("crop ", i, " ", status.message()));
  }
  if (absl::Status lost = Lost(); !lost.ok()) return lost;
  std::vector<float> rows(crops.size() * info_.embedding_dim);
  const absl::Status status = InParts(
      static_cast<int64_t>(crops.size()), &batch_,
      [&](int64_t begin, int64_t end) {
        return backend_->EncodeImages(
            crops.subspan(begin, end - begin),
            rows.data() + begin * info_.embedding_dim);
      },
      [&] { backend_->FreeCached(); });
  if (!status.ok()) return Remembered(status);
  return rows;
}

absl::StatusOr<int64_t> SteppedModel::EncodeText(
    absl::Span<const std::vector<int32_t>> sequences, const TextSink& sink,
    const TextProgress& progress) {
  if (absl::Status status = CheckSequences(sequences, info_); !status.ok())
    return status;
  if (absl::Status lost = Lost(); !lost.ok()) return lost;
  std::vector<absl::Span<const int32_t>> tokens(sequences.begin(),
                                                sequences.end());
  if (text_mask_ == TextMask::kCausal && !class_token_) {
    for (absl::Span<const int32_t>& sequence : tokens)
      sequence = CutAtPool(sequence, end_);
  }
  const int64_t total = static_cast<int64_t>(sequences.size());
  int64_t positions = 0, done = 0;
  const int64_t padded = text_mask_ == TextMask::kCausal ? 0
                         : text_mask_ == TextMask::kPadding
                             ? TrieSteps::kOwnLength
                             : info_.context_length;
  TrieSteps steps(tokens, step_.size(), padded, class_token_ ? kClassNodes : 0);
  std::vector<TextStep> round = NextRound(&steps), next;
  std::vector<TextStep> computed;  // its rows wait for the sink
  std::vector<HostRows> rows;      // of each step of `computed`
  const auto hand_over = [&] {
    for (size_t i = 0; i < computed.size(); ++i) {
      done += static_cast<int64_t>(computed[i].members.size());
      for (const TextStep::Member& member : computed[i].members) {
        sink(member.sequence, {rows[i].data + member.end * info_.embedding_dim,
                               static_cast<size_t>(info_.embedding_dim)});
      }
    }
    computed.clear();
    rows.clear();
  };
  while (!round.empty()) {
    // The sink takes a moment, so it too runs while the device computes.
    // `progress` does not: it may wait for somebody, and the device is held.
    std::exception_ptr thrown;  // by the sink: not the backend's to handle
    absl::StatusOr<std::vector<HostRows>> made =
        backend_->EncodeText(round, [&] {
          next = NextRound(&steps);
          try {
            hand_over();
          } catch (...) {
            thrown = std::current_exception();
          }
        });
    if (thrown) std::rethrow_exception(thrown);
    int64_t nodes = 0;
    for (const TextStep& step : round) nodes = std::max(nodes, step.nodes);
    if (absl::IsResourceExhausted(made.status()) && step_.Failed(nodes)) {
      for (const TextStep& step : next) steps.PutBack(step);
      for (const TextStep& step : round) steps.PutBack(step);
      backend_->FreeCached();
      round = NextRound(&steps);
      next.clear();
      continue;
    }
    hand_over();  // what is still there if the backend failed early
    if (!made.ok()) return Remembered(made.status());
    step_.Fitted(nodes);
    for (const TextStep& step : round)
      positions += backend_->Positions(step.trie);
    computed = std::move(round);
    rows = *std::move(made);
    // Nothing follows, or nothing runs meanwhile.
    if (next.empty()) hand_over();
    if (progress && !progress(done, total, positions) && done < total) {
      hand_over();
      return StoppedAfter(done, total);
    }
    round = next.empty() ? NextRound(&steps) : std::move(next);
    next.clear();
  }
  return positions;
}

std::vector<TextStep> SteppedModel::NextRound(TrieSteps* steps) {
  // What another call has found out about memory holds for this one too.
  steps->set_max_nodes(step_.size());
  std::vector<TextStep> round;
  // A step that is taken must not be lost for want of memory.
  round.reserve(backend_->plan().round_steps);
  while (static_cast<int64_t>(round.size()) < backend_->plan().round_steps) {
    absl::optional<TextStep> step = steps->Next();
    if (!step.has_value()) break;
    round.push_back(*std::move(step));
  }
  return round;
}

absl::Status SteppedModel::Remembered(const absl::Status& status) {
  if (absl::IsUnavailable(status)) {
    base::MutexLock lock(&mu_);
    lost_.Update(status);
  }
  return status;
}

absl::Status SteppedModel::Lost() {
  base::MutexLock lock(&mu_);
  return lost_;
}

}  // namespace clip
