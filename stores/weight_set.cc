#include "stores/weight_set.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "base/huge_pages.h"
#include "base/quoted.h"

namespace stores {
namespace {

// The beginning of a long name, and an ellipsis.
std::string Cut(const std::string& name) {
  constexpr size_t kMaxBytes = 64;
  if (name.size() <= kMaxBytes) return name;
  size_t end = kMaxBytes;
  // Not within a character: its later bytes are 10xxxxxx.
  while (end > 0 && (name[end] & 0xc0) == 0x80) --end;
  return name.substr(0, end) + "\xe2\x80\xa6";
}

}  // namespace

int64_t WeightSet::SizeBytes() const {
  int64_t bytes = sizeof(WeightSet) + weights.size() * sizeof(float);
  const auto add = [&bytes](const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      bytes += sizeof(std::string) + text.size();
    }
  };
  add(class_names);
  add(background);
  add(templates);
  add(group_names);
  bytes += min_probabilities.size() * sizeof(min_probabilities[0]) +
           group_of.size() * sizeof(group_of[0]) +
           examples.size() * sizeof(examples[0]);
  for (const std::optional<ClassExamples>& shown : examples) {
    if (shown.has_value()) bytes += shown->sha256.size();
  }
  for (const std::vector<std::string>& prompts : own_prompts) {
    bytes += sizeof(prompts);
    add(prompts);
  }
  return bytes;
}

int64_t WeightSet::num_examples() const {
  int64_t count = 0;
  for (const std::optional<ClassExamples>& shown : examples) {
    if (shown.has_value()) count += shown->count;
  }
  return count;
}

void WeightSet::SetGroups(const std::vector<std::string>& groups) {
  group_names.clear();
  group_of.clear();
  const bool any = std::any_of(groups.begin(), groups.end(),
                               [](const auto& name) { return !name.empty(); });
  if (!any) return;
  absl::flat_hash_map<absl::string_view, int32_t> known = {{"", -1}};
  for (const std::string& name : groups) {
    const auto [it, added] =
        known.emplace(name, static_cast<int32_t>(group_names.size()));
    if (added) group_names.push_back(name);
    group_of.push_back(it->second);
  }
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
  constexpr size_t kFirstNames = 5;
  std::vector<std::string> first;
  for (const std::string& name : set.class_names) {
    if (first.size() == kFirstNames) break;
    first.push_back(Cut(name));
  }
  return {set.id,
          set.model_fingerprint,
          set.precision,
          set.num_classes(),
          set.embedding_dim,
          set.num_prompts,
          set.create_time,
          set.num_background(),
          set.temperature,
          std::move(first)};
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
