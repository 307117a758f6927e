#include "server/inference/models.h"

#include <algorithm>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "base/monotonic.h"
#include "base/quoted.h"
#include "stores/id_prefix.h"
#include "stores/weight_store.h"

namespace zeroshot::server {
namespace {

// Sets that are listed at a time.
constexpr int kPage = 256;
// Looks take a twentieth of the time at most.
constexpr int kShareOfTime = 20;

// Calls `see` with the id of each set.
absl::Status ForEachSet(
    stores::TieredStore& store,
    absl::FunctionRef<absl::Status(const std::string& id)> see) {
  std::string after;
  while (true) {
    const auto page = store.List(after, kPage);
    if (!page.ok()) return page.status();
    for (const stores::WeightSetSummary& set : *page) {
      absl::Status seen = see(set.id);
      if (!seen.ok()) return seen;
    }
    if (page->size() < kPage) return absl::OkStatus();
    after = page->back().id;
  }
}

absl::Status NoSuchModel(absl::string_view name) {
  return base::WithReason(
      absl::NotFoundError(absl::StrCat(
          "there is no model ", base::Quoted(name),
          "; there are image_encoder, text_encoder, and weight sets by their "
          "display names and ids, which RepositoryIndex lists")),
      base::kModelNotFound, {{"model", std::string(name)}});
}

}  // namespace

Tensor InferenceModel::input() const {
  return {kind == Kind::kTextEncoder ? "text" : "image", kBytes, 1};
}

std::vector<Tensor> InferenceModel::outputs(int embedding_dim) const {
  if (kind != Kind::kWeightSet) return {{"embedding", kFp32, embedding_dim}};
  return {{"class", kBytes, -1},
          {"probability", kFp32, -1},
          {"class_index", kInt32, -1},
          {"accepted", kBool, -1},
          {"other_probability", kFp32, 1}};
}

absl::StatusOr<InferenceModel> InferenceModels::Find(
    stores::TieredStore& store, const std::string& name,
    absl::string_view version, const base::Caller& caller) {
  using Kind = InferenceModel::Kind;
  InferenceModel model{Kind::kWeightSet, ""};
  if (name == kImageEncoder) {
    model.kind = Kind::kImageEncoder;
  } else if (name == kTextEncoder) {
    model.kind = Kind::kTextEncoder;
  } else if (stores::IsWholeId(name)) {
    model.weight_set_id = name;
  } else {
    const absl::StatusOr<NamesPtr> names = CurrentNames(store, caller);
    if (!names.ok()) return names.status();
    const auto found = (*names)->sets.find(name);
    if (found == (*names)->sets.end()) return NoSuchModel(name);
    model.weight_set_id = found->second.id;
  }
  if (version.empty() || version == kModelVersion) return model;
  return base::WithReason(absl::NotFoundError(absl::StrCat(
                              "the model ", base::Quoted(name),
                              " has no version ", base::Quoted(version),
                              "; it has version '", kModelVersion, "' alone")),
                          base::kModelNotFound, {{"model", name}});
}

absl::Status InferenceModels::Exists(stores::TieredStore& store,
                                     const InferenceModel& model) {
  if (model.kind != InferenceModel::Kind::kWeightSet) return absl::OkStatus();
  return store.GetHeader(model.weight_set_id).status();
}

absl::Status InferenceModels::List(
    stores::TieredStore& store, const base::Caller& caller,
    absl::FunctionRef<absl::Status(const std::string&)> add) {
  const absl::StatusOr<NamesPtr> names = CurrentNames(store, caller);
  if (!names.ok()) return names.status();
  std::map<absl::string_view, absl::string_view> name_of;
  for (const auto& [name, set] : (*names)->sets) name_of[set.id] = name;
  for (const char* const tower : {kImageEncoder, kTextEncoder}) {
    absl::Status added = add(tower);
    if (!added.ok()) return added;
  }
  return ForEachSet(store, [&](const std::string& id) -> absl::Status {
    absl::Status waiting = caller.StillWaiting();
    if (!waiting.ok()) return waiting;
    const auto name = name_of.find(id);
    return add(name == name_of.end() ? id : std::string(name->second));
  });
}

absl::StatusOr<InferenceModels::NamesPtr> InferenceModels::CurrentNames(
    stores::TieredStore& store, const base::Caller& caller) {
  // A look that another call began may be from before a change that this caller
  // knows of: then there is another one. Who changes names all the time gets
  // those of the last look.
  constexpr int kLooks = 3;
  NamesPtr names;
  for (int look = 0; look < kLooks; ++look) {
    {
      base::MutexLock lock(&mu_);
      names = names_;
      if (names != nullptr && names->naming_changes == store.naming_changes()) {
        const absl::Time now = base::MonotonicNow();
        if (look > 0 || now < names->until) return names;
        // This caller looks for others' changes; all others go on meanwhile
        // with what is known.
        auto known = std::make_shared<Names>(*names);
        known->until = now + kLookEvery;
        names_ = known;
      }
    }
    auto looked = looks_.Run(
        "", "the list of models", [&](auto&) { return Look(store); },
        [&] { return caller.StillWaiting(); });
    if (!looked.ok()) return looked.status();
    names = *std::move(looked);
  }
  return names;
}

absl::StatusOr<InferenceModels::NamesPtr> InferenceModels::Look(
    stores::TieredStore& store) {
  const absl::Time start = base::MonotonicNow();
  auto names = std::make_shared<Names>();
  names->naming_changes = store.naming_changes();
  absl::Status seen = ForEachSet(store, [&](const std::string& id) {
    const auto name = store.GetDisplayName(id);
    // A tier that fails is passed over, as everywhere.
    if (!name.ok() || name->text.empty()) return absl::OkStatus();
    // The towers' names are theirs, and ids are looked up first.
    if (name->text == kImageEncoder || name->text == kTextEncoder ||
        stores::IsWholeId(name->text)) {
      return absl::OkStatus();
    }
    Names::Set& set = names->sets[name->text];
    // At the same microsecond the later id, so that all servers choose the
    // same: sets come in the order of their ids.
    if (set.id.empty() || name->given_us >= set.given_us) {
      set = {id, name->given_us};
    }
    return absl::OkStatus();
  });
  if (!seen.ok()) return seen;
  const absl::Time now = base::MonotonicNow();
  names->until = now + std::max(kLookEvery, kShareOfTime * (now - start));
  base::MutexLock lock(&mu_);
  names_ = names;
  return names_;
}

}  // namespace zeroshot::server
