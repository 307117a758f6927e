#include "zeroshot/classifier.h"

#include <memory>
#include <utility>

#include "absl/status/status.h"

namespace zeroshot {

absl::StatusOr<std::shared_ptr<const stores::WeightSet>> Classifier::Find(
    const std::string& id) {
  absl::StatusOr<std::shared_ptr<const stores::WeightSet>> set = sets_->Get(id);
  if (!set.ok()) return set.status();
  absl::Status own = stores::CheckModel(**set, model_->info().fingerprint);
  if (!own.ok()) return own;
  return set;
}

absl::StatusOr<Answer> Classifier::Classify(const ClassifyCall& call,
                                            const base::Caller& caller) {
  // All of them before the picture, so that a wrong id costs no image pass.
  std::vector<std::shared_ptr<const stores::WeightSet>> sets;
  sets.reserve(1 + call.more_weight_set_ids.size());
  absl::StatusOr<std::shared_ptr<const stores::WeightSet>> set =
      Find(call.weight_set_id);
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
  if (call.admit_answer) {
    int64_t bytes = 0;
    for (const auto& found : sets) {
      bytes += AnswerBytes(*found, call.top_k, call.return_probabilities);
    }
    if (absl::Status admitted = call.admit_answer(bytes); !admitted.ok()) {
      return admitted;
    }
  }
  absl::StatusOr<Embeddings> embeddings =
      embedder_->EmbedImages({call.image}, caller);
  if (!embeddings.ok()) return embeddings.status();
  if (!embeddings->statuses[0].ok()) return embeddings->statuses[0];
  const auto score = [&](const stores::WeightSet& scored) {
    return ScoresOf(
        scored, scorer_.Cosines(scored, embeddings->rows),
        {model_->info().logit_scale, call.top_k, call.return_probabilities});
  };
  absl::StatusOr<Scores> scores = score(*sets[0]);
  if (!scores.ok()) return scores.status();
  Answer answer{
      *std::move(scores), {}, embeddings->timing, embeddings->num_cached > 0};
  for (size_t i = 1; i < sets.size(); ++i) {
    scores = score(*sets[i]);
    if (!scores.ok()) return scores.status();
    answer.more.push_back(*std::move(scores));
  }
  return answer;
}

}  // namespace zeroshot
