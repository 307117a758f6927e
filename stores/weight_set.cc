#include "stores/weight_set.h"

#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "base/huge_pages.h"
#include "base/quoted.h"

namespace stores {

int64_t WeightSet::SizeBytes() const {
  int64_t bytes = sizeof(WeightSet) + weights.size() * sizeof(float);
  const auto add = [&bytes](const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      bytes += sizeof(std::string) + text.size();
    }
  };
  add(class_names);
  add(templates);
  for (const std::vector<std::string>& prompts : own_prompts) {
    bytes += sizeof(prompts);
    add(prompts);
  }
  return bytes;
}

absl::Status CheckModel(const WeightSet& set, absl::string_view fingerprint) {
  if (set.model_fingerprint == fingerprint) return absl::OkStatus();
  return base::WithReason(
      absl::FailedPreconditionError(
          absl::StrCat("the weight set ", base::Quoted(set.id),
                       " was built with model ", set.model_fingerprint,
                       ", this server has ", fingerprint, ": build it again")),
      base::kWrongModel,
      {{"weight_set_id", set.id},
       {"model_fingerprint", set.model_fingerprint}});
}

WeightSetSummary SummaryOf(const WeightSet& set) {
  return {set.id,
          set.model_fingerprint,
          set.precision,
          set.num_classes(),
          set.embedding_dim,
          set.num_prompts,
          set.create_time};
}

absl::Status WeightSetNotFound(absl::string_view id) {
  if (IsImported(id)) {
    return base::WithReason(
        absl::NotFoundError(absl::StrCat("no weight set ", base::Quoted(id),
                                         ": it was imported and cannot be "
                                         "built again; import its file "
                                         "again")),
        base::kWeightSetNotRebuildable, {{"weight_set_id", std::string(id)}});
  }
  return base::WithReason(
      absl::NotFoundError(
          absl::StrCat("no weight set ", base::Quoted(id),
                       ": call BuildClassifier again, it is idempotent")),
      base::kWeightSetNotFound, {{"weight_set_id", std::string(id)}});
}

std::vector<float> MakeWeights(size_t count) {
  std::vector<float> weights;
  weights.reserve(count);
  base::AskForHugePages(weights.data(), count * sizeof(float));
  weights.resize(count);
  return weights;
}

}  // namespace stores
