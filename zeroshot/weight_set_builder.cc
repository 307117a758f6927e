#include "zeroshot/weight_set_builder.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "base/monotonic.h"
#include "base/steps.h"
#include "stores/display_name.h"
#include "zeroshot/class_warnings.h"

namespace zeroshot {
namespace {

// How often a server looks whether another one has built the set.
constexpr absl::Duration kLookAtLease = absl::Milliseconds(100);

}  // namespace

WeightSetBuilder::WeightSetBuilder(clip::Model* model,
                                   stores::WeightStore* store,
                                   const BuildLimits& limits, int max_builds,
                                   int64_t vector_cache_bytes)
    : model_(model),
      store_(store),
      limits_(limits),
      encoder_(model, vector_cache_bytes),
      admission_("builds", max_builds) {}

absl::StatusOr<WeightSetBuilder::Named> WeightSetBuilder::Name(
    const ClassifierSpec& spec) const {
  absl::Status shown = stores::CheckDisplayName(spec.display_name);
  if (!shown.ok()) return shown;
  const clip::ModelInfo& info = model_->info();
  absl::StatusOr<ResolvedSpec> resolved =
      ResolvedSpec::Resolve(spec, limits_, info.embedding_dim);
  if (!resolved.ok()) return resolved.status();
  std::string id = resolved->Id(info.fingerprint, info.precision);
  return Named{*std::move(resolved), std::move(id), spec.display_name};
}

absl::StatusOr<std::shared_ptr<const stores::WeightSet>> WeightSetBuilder::Find(
    const Named& named) {
  auto found = store_->Get(named.id);
  if (found.ok()) GiveName(named);
  return found;
}

void WeightSetBuilder::GiveName(const Named& named) {
  if (named.display_name.empty()) return;
  // Not there: it was deleted meanwhile, which the next call will say.
  (void)stores::GiveDisplayName(store_, named.id, named.display_name);
}

absl::StatusOr<BuildResult> WeightSetBuilder::Build(
    const ClassifierSpec& spec, const base::Caller& caller,
    const OnProgress& on_progress, const EmbedImages& embed_images) {
  const absl::StatusOr<Named> named = Name(spec);
  if (!named.ok()) return named.status();
  return Build(*named, caller, on_progress, embed_images);
}

absl::StatusOr<BuildResult> WeightSetBuilder::Build(
    const Named& named, const base::Caller& caller,
    const OnProgress& on_progress, const EmbedImages& embed_images) {
  const auto& [spec, id, display_name] = named;
  const absl::Time start = base::MonotonicNow();
  absl::StatusOr<BuildResult> result = BuildResult{};
  // A store that cannot answer is no reason not to build.
  if (auto stored = store_->Get(id); stored.ok()) {
    result->set = *std::move(stored);
    result->cached = true;
    // Any server may be asked for it next: a tier that lost it gets it again.
    (void)store_->Put(result->set);
  } else {
    result = JoinOrLead(spec, id, caller, on_progress, embed_images);
    if (!result.ok()) return result.status();
  }
  GiveName(named);
  result->warnings = spec.Warnings();
  constexpr size_t kMost = 20;  // of each kind
  for (const std::vector<std::string>& warnings :
       {EqualVectorWarnings(*result->set, kMost),
        UnseenWordWarnings(spec, model_->info(), kMost)}) {
    result->warnings.insert(result->warnings.end(), warnings.begin(),
                            warnings.end());
  }
  result->timing.total = base::MonotonicNow() - start;
  return result;
}

absl::StatusOr<BuildResult> WeightSetBuilder::JoinOrLead(
    const ResolvedSpec& spec, const std::string& id, const base::Caller& caller,
    const OnProgress& on_progress, const EmbedImages& embed_images) {
  const absl::Time start = base::MonotonicNow();
  int64_t reported = -1;
  bool joined = false;
  absl::StatusOr<BuildResult> result = flights_.Run(
      id, "this build",
      [&](Flights::Flight& flight) {
        auto led = Lead(spec, id, flight, caller, on_progress, embed_images);
        base::MutexLock lock(&mu_);
        progress_.erase(id);
        return led;
      },
      [&] {
        BuildProgress now;
        {
          base::MutexLock lock(&mu_);
          if (auto it = progress_.find(id); it != progress_.end()) {
            now = it->second;
          }
        }
        absl::Status waiting = caller.StillWaiting();
        if (waiting.ok() && on_progress && now.prompts_done > reported) {
          reported = now.prompts_done;
          on_progress(now);
        }
        return waiting;
      },
      &joined);
  if (joined && result.ok()) {
    result->joined = true;
    result->timing = BuildTiming();
    result->timing.queue = base::MonotonicNow() - start;
    if (caller.steps != nullptr) {
      caller.steps->End(caller.steps->Begin("wait_for_build", start),
                        base::MonotonicNow());
    }
  }
  return result;
}

absl::StatusOr<BuildResult> WeightSetBuilder::Lead(
    const ResolvedSpec& spec, const std::string& id, Flights::Flight& flight,
    const base::Caller& caller, const OnProgress& on_progress,
    const EmbedImages& embed_images) {
  const absl::StatusOr<Admission::Place> place = admission_.Enter();
  if (!place.ok()) return place.status();
  const absl::Time start = base::MonotonicNow();
  const auto progress = [&](int64_t done, int64_t total, int64_t tokens) {
    BuildProgress now{done, total, tokens, absl::InfiniteDuration()};
    if (done > 0) {
      now.time_left = (base::MonotonicNow() - start) * (total - done) / done;
    }
    const bool waits = caller.StillWaiting().ok();
    if (waits && on_progress) on_progress(now);
    {
      base::MutexLock lock(&mu_);
      progress_[id] = now;
    }
    return waits || !flight.Abandon();
  };
  // Not this caller's deadline: the build is for all who wait.
  base::Caller all;
  all.gone = [&] { return !caller.StillWaiting().ok() && flight.Abandon(); };
  all.steps = caller.steps;
  const auto embed = [&](absl::Span<const absl::string_view> images)
      -> absl::StatusOr<Embeddings> {
    if (embed_images == nullptr) {
      return absl::UnimplementedError("no images can be encoded here");
    }
    return embed_images(images, all);
  };
  absl::StatusOr<BuildResult> result =
      LeadWithLease(spec, id, progress, embed, caller.steps);
  if (!result.ok() && absl::IsCancelled(result.status())) {
    if (absl::Status left = caller.StillWaiting(); !left.ok()) return left;
  }
  return result;
}

absl::StatusOr<BuildResult> WeightSetBuilder::LeadWithLease(
    const ResolvedSpec& spec, const std::string& id,
    const clip::TextProgress& progress, EmbedExamples embed,
    base::Steps* steps) {
  const absl::Time start = base::MonotonicNow();
  const auto built_elsewhere = [&] {
    const base::ScopedStep step(steps, "lease");
    return WaitForLease(spec, id, progress);
  }();
  if (!built_elsewhere.ok()) return built_elsewhere.status();
  absl::StatusOr<BuildResult> result = BuildResult{};
  if (*built_elsewhere != nullptr) {
    result->set = *built_elsewhere;
    result->cached = true;
    result->timing.queue = base::MonotonicNow() - start;
  } else {
    absl::Time taken = base::MonotonicNow();
    const absl::Cleanup release = [&] { store_->ReleaseLease(id); };
    result = BuildNow(
        spec, id,
        [&](int64_t done, int64_t total, int64_t tokens) {
          if (base::MonotonicNow() - taken >
              stores::WeightStore::kLeaseLasts / 4) {
            taken = base::MonotonicNow();
            // Whatever the answer: what is begun is finished, and equal.
            (void)store_->TakeLease(id);
          }
          return progress(done, total, tokens);
        },
        embed, steps);
  }
  return result;
}

absl::StatusOr<std::shared_ptr<const stores::WeightSet>>
WeightSetBuilder::WaitForLease(const ResolvedSpec& spec, const std::string& id,
                               const clip::TextProgress& progress) {
  while (true) {
    const absl::StatusOr<bool> mine = store_->TakeLease(id);
    // The flight before this one, or the server that had the lease, may have
    // put the set there since the caller looked.
    if (auto stored = store_->Get(id); stored.ok()) {
      if (mine.ok() && *mine) store_->ReleaseLease(id);
      return stored;
    }
    if (!mine.ok() || *mine) return nullptr;
    if (!progress(0, spec.total_to_encode(), 0)) {
      return absl::CancelledError("nobody waits for the build any more");
    }
    absl::SleepFor(kLookAtLease);
  }
}

absl::StatusOr<BuildResult> WeightSetBuilder::BuildNow(
    const ResolvedSpec& spec, const std::string& id,
    const clip::TextProgress& progress, EmbedExamples embed,
    base::Steps* steps) {
  base::ScopedStep step(steps, "build");
  step.Add({"prompts", spec.total_prompts()});
  const clip::ModelInfo& info = model_->info();
  auto set = std::make_shared<stores::WeightSet>();
  set->id = id;
  set->model_fingerprint = info.fingerprint;
  set->precision = info.precision;
  set->embedding_dim = info.embedding_dim;
  set->num_prompts = spec.total_prompts();
  set->templates = spec.templates();
  for (int c = 0; c < spec.num_classes(); ++c) {
    set->class_names.push_back(spec.name(c));
    if (spec.shown(c).has_value()) {
      set->examples.resize(spec.num_classes());
      set->examples[c] = spec.shown(c);
    }
    if (spec.own_prompts(c).empty()) continue;
    set->own_prompts.resize(spec.num_classes());
    set->own_prompts[c] = spec.own_prompts(c);
  }
  spec.SetDecisions(set.get());
  // Known before the work is done.
  const int64_t weights_bytes = int64_t{spec.num_rows()} * info.embedding_dim *
                                static_cast<int64_t>(sizeof(float));
  absl::Status fits = store_->CheckSize(set->SizeBytes() + weights_bytes);
  if (!fits.ok()) return fits;
  absl::StatusOr<EncodedClasses> encoded =
      encoder_.Encode(spec, progress, embed, step);
  if (!encoded.ok()) return encoded.status();
  BuildResult result;
  result.timing.tokenize = encoded->tokenize;
  result.timing.encode = encoded->encode;
  result.num_tokens_encoded = encoded->num_tokens_encoded;
  const absl::Time start = base::MonotonicNow();
  set->num_tokens = encoded->num_tokens;
  set->weights = std::move(encoded->weights);
  set->create_time = absl::Now();
  result.set = set;
  const base::ScopedStep finish(step, "finish");
  if (absl::Status status = store_->Put(set); !status.ok()) return status;
  result.timing.finish = base::MonotonicNow() - start;
  return result;
}

}  // namespace zeroshot
