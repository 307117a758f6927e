#include "zeroshot/image_classifier.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "base/steps.h"

namespace zeroshot {
namespace {

// Cosines that a call has in memory at once, 16 MiB of them: a batch against a
// very large set is scored piece by piece.
constexpr size_t kMostCosines = size_t{4} << 20;

}  // namespace

absl::StatusOr<std::shared_ptr<const stores::WeightSet>> ImageClassifier::Find(
    const std::string& id) {
  absl::StatusOr<std::shared_ptr<const stores::WeightSet>> set = sets_->Get(id);
  if (!set.ok()) return set.status();
  absl::Status own = stores::CheckModel(**set, model_->info().fingerprint);
  if (!own.ok()) return own;
  return set;
}

absl::StatusOr<ImageClassifier::Sets> ImageClassifier::FindAll(
    const ClassifyCall& call, const base::Caller& caller) {
  const base::ScopedStep step(caller.steps, "find_weight_sets");
  Sets sets;
  sets.reserve(1 + call.more_weight_set_ids.size());
  absl::StatusOr<std::shared_ptr<const stores::WeightSet>> set = call.set;
  if (*set == nullptr) set = Find(call.weight_set_id);
  if (!set.ok()) return set.status();
  sets.push_back(*std::move(set));
  for (const std::string& id : call.more_weight_set_ids) {
    if (absl::Status wanted = caller.StillWaiting(); !wanted.ok()) {
      return wanted;
    }
    set = Find(id);
    if (!set.ok()) return set.status();
    sets.push_back(*std::move(set));
  }
  return sets;
}

absl::StatusOr<ImageClassifier::Embedded> ImageClassifier::Embed(
    const ClassifyCall& call, const base::Caller& caller) {
  const size_t dim = model_->info().embedding_dim;
  Embedded result;
  if (!call.embeddings.empty()) {
    result.rows = call.embeddings;
    result.answers.assign(call.embeddings.size() / dim, Answer());
    result.good.resize(result.answers.size());
    std::iota(result.good.begin(), result.good.end(), size_t{0});
    return result;
  }
  absl::StatusOr<Embeddings> embedded =
      embedder_->EmbedImages(call.images, caller);
  if (!embedded.ok()) return embedded.status();
  std::vector<float>& rows = embedded->rows;
  result.answers.reserve(call.images.size());
  for (size_t i = 0; i < call.images.size(); ++i) {
    if (!embedded->statuses[i].ok()) {
      result.answers.emplace_back(std::move(embedded->statuses[i]));
      continue;
    }
    result.answers.emplace_back(
        Answer{{}, {}, embedded->timings[i], embedded->known[i] != 0});
    if (result.good.size() < i) {
      std::copy_n(&rows[i * dim], dim, &rows[result.good.size() * dim]);
    }
    result.good.push_back(i);
  }
  rows.resize(result.good.size() * dim);
  result.made = std::move(rows);
  result.rows = result.made;
  return result;
}

absl::Status ImageClassifier::Score(const ClassifyCall& call,
                                    const stores::WeightSet& set, bool is_first,
                                    const base::Caller& caller,
                                    Embedded* embedded) {
  ScoreOptions options{model_->head(), call.top_k, call.return_probabilities,
                       call.min_probability};
  if (call.score_function.has_value()) {
    options.head.score_function = *call.score_function;
  }
  const size_t dim = model_->info().embedding_dim;
  const size_t set_rows = set.num_rows();
  const size_t count = embedded->good.size();
  const size_t together = std::max<size_t>(1, kMostCosines / set_rows);
  for (size_t from = 0; from < count; from += together) {
    // gRPC looks through a queue to say it, which a single image's call would
    // pay for again and again; for a batch it is little.
    if (count > 1) {
      if (absl::Status wanted = caller.StillWaiting(); !wanted.ok()) {
        return wanted;
      }
    }
    const size_t n = std::min(together, count - from);
    const std::vector<float> cosines =
        scorer_.Cosines(set, embedded->rows.subspan(from * dim, n * dim));
    for (size_t g = 0; g < n; ++g) {
      absl::StatusOr<Answer>& answer =
          embedded->answers[embedded->good[from + g]];
      if (!answer.ok()) continue;
      absl::StatusOr<Scores> scores =
          ScoresOf(set, {&cosines[g * set_rows], set_rows}, options);
      if (!scores.ok()) {
        answer = scores.status();
      } else if (is_first) {
        static_cast<Scores&>(*answer) = *std::move(scores);
      } else {
        answer->more.push_back(*std::move(scores));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<absl::StatusOr<Answer>>> ImageClassifier::Classify(
    const ClassifyCall& call, const base::Caller& caller) {
  // All of them before the images, so that a wrong id costs no image pass.
  const absl::StatusOr<Sets> sets = FindAll(call, caller);
  if (!sets.ok()) return sets.status();
  if (call.admit_answer) {
    int64_t bytes = 0;
    for (const auto& set : *sets) {
      bytes += AnswerBytes(*set, call.top_k, call.return_probabilities);
    }
    const int64_t items = call.embeddings.empty()
                              ? static_cast<int64_t>(call.images.size())
                              : static_cast<int64_t>(call.embeddings.size()) /
                                    model_->info().embedding_dim;
    absl::Status admitted = call.admit_answer(bytes * items);
    if (!admitted.ok()) return admitted;
  }
  absl::StatusOr<Embedded> embedded = Embed(call, caller);
  if (!embedded.ok()) return embedded.status();
  base::ScopedStep step(caller.steps, "score");
  step.Add({"images", static_cast<int64_t>(embedded->good.size())});
  step.Add({"weight_sets", static_cast<int64_t>(sets->size())});
  for (size_t s = 0; s < sets->size(); ++s) {
    absl::Status scored =
        Score(call, *(*sets)[s], /*is_first=*/s == 0, caller, &*embedded);
    if (!scored.ok()) return scored;
  }
  return std::move(embedded->answers);
}

}  // namespace zeroshot
