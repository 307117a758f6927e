#include "zeroshot/weight_set_builder.h"

#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "clip/monotonic.h"
#include "clip/no_throw.h"
#include "clip/quoted.h"
#include "zeroshot/weight_set_check.h"

namespace zeroshot {
namespace {

// How often a caller who joined a flight looks whether it still waits itself.
constexpr absl::Duration kLookAgain = absl::Milliseconds(50);

// How often a server looks whether another one has built the set.
constexpr absl::Duration kLookAtLease = absl::Milliseconds(100);

}  // namespace

WeightSetBuilder::WeightSetBuilder(clip::Model* model,
                                   const clip::Tokenizer* tokenizer,
                                   WeightStore* store,
                                   const BuildLimits& limits, int max_builds,
                                   BuildLease* lease,
                                   int64_t vector_cache_bytes)
    : model_(model),
      store_(store),
      limits_(limits),
      encoder_(model, tokenizer, vector_cache_bytes),
      lease_(lease),
      door_("builds", max_builds) {}

absl::StatusOr<BuildResult> WeightSetBuilder::Build(
    const ClassifierSpec& spec, const Caller& caller,
    const OnProgress& on_progress) {
  const absl::StatusOr<ResolvedSpec> resolved =
      ResolvedSpec::Resolve(spec, limits_);
  if (!resolved.ok()) return resolved.status();
  const clip::ModelInfo& info = model_->info();
  const std::string id = resolved->Id(info.fingerprint, info.precision);
  return FindOrBuild(*resolved, id, caller, on_progress);
}

absl::StatusOr<BuildResult> WeightSetBuilder::Rebuild(const WeightSet& header,
                                                      const Caller& caller) {
  const clip::ModelInfo& info = model_->info();
  absl::Status own = CheckModel(header, info.fingerprint);
  if (!own.ok()) return own;
  const auto unable = [&](absl::string_view why, absl::string_view cure) {
    return absl::NotFoundError(absl::StrCat(
        "no weight set ", clip::Quoted(header.id), ": ", why, "; ", cure));
  };
  constexpr absl::string_view kBuild =
      "call BuildClassifier again, it is idempotent";
  if (IsImported(header.id)) return WeightSetNotFound(header.id);
  if (!header.has_specification()) {
    return unable("it was not built from prompts", "import it again");
  }
  if (header.precision != info.precision) {
    return unable(absl::StrCat("it was built in ", header.precision,
                               " and this server computes in ", info.precision),
                  kBuild);
  }
  const absl::StatusOr<ResolvedSpec> resolved =
      ResolvedSpec::Resolve(SpecOf(header), limits_);
  if (!resolved.ok()) return unable(resolved.status().message(), kBuild);
  if (resolved->Id(info.fingerprint, info.precision) != header.id) {
    return unable("what is stored of it gives another id", kBuild);
  }
  return FindOrBuild(*resolved, header.id, caller, nullptr);
}

absl::StatusOr<BuildResult> WeightSetBuilder::FindOrBuild(
    const ResolvedSpec& spec, const std::string& id, const Caller& caller,
    const OnProgress& on_progress) {
  const absl::Time start = clip::MonotonicNow();
  absl::StatusOr<BuildResult> result = BuildResult{};
  // A store that cannot answer is no reason not to build.
  if (auto stored = store_->Get(id); stored.ok()) {
    result->set = *std::move(stored);
    result->cached = true;
    // Any server may be asked for it next: a tier that lost it gets it again.
    (void)store_->Put(result->set);
  } else {
    result = JoinOrLead(spec, id, caller, on_progress);
    if (!result.ok()) return result.status();
  }
  result->warnings = spec.Warnings();
  result->timing.total = clip::MonotonicNow() - start;
  return result;
}

absl::StatusOr<BuildResult> WeightSetBuilder::JoinOrLead(
    const ResolvedSpec& spec, const std::string& id, const Caller& caller,
    const OnProgress& on_progress) {
  std::shared_ptr<Flight> joined, led;
  absl::StatusOr<Door::Place> place = absl::UnknownError("not entered");
  {
    clip::MutexLock lock(&mu_);
    const auto it = flights_.find(id);
    if (it != flights_.end() && !it->second->abandoned) {
      joined = it->second;
      ++joined->joined;
    } else {
      place = door_.Enter();
      if (!place.ok()) return place.status();
      led = std::make_shared<Flight>();
      flights_[id] = led;
    }
  }
  if (joined != nullptr) return WaitFor(joined.get(), caller, on_progress);

  // Whatever happens, the flight must land: others wait for it.
  absl::StatusOr<BuildResult> result = clip::NoThrow("this build", [&] {
    return Lead(spec, id, led.get(), caller, on_progress);
  });
  clip::MutexLock lock(&mu_);
  const auto it = flights_.find(id);
  if (it != flights_.end() && it->second == led) flights_.erase(it);
  led->result = result;
  led->changed.NotifyAll();
  return result;
}

absl::StatusOr<BuildResult> WeightSetBuilder::WaitFor(
    Flight* flight, const Caller& caller, const OnProgress& on_progress) {
  const absl::Time start = clip::MonotonicNow();
  int64_t reported = -1;
  while (true) {
    BuildProgress progress;
    const absl::Status waiting = caller.StillWaiting();
    {
      clip::MutexLock lock(&mu_);
      if (waiting.ok() && !flight->result.has_value()) {
        flight->changed.WaitUntil(&mu_, clip::MonotonicNow() + kLookAgain);
      }
      if (!waiting.ok() || flight->result.has_value()) {
        --flight->joined;
        if (!flight->result.has_value()) return waiting;
        absl::StatusOr<BuildResult> result = *flight->result;
        if (result.ok()) {
          result->joined = true;
          result->timing = BuildTiming();
          result->timing.queue = clip::MonotonicNow() - start;
        }
        return result;
      }
      progress = flight->progress;
    }
    if (on_progress && progress.prompts_done > reported) {
      reported = progress.prompts_done;
      on_progress(progress);
    }
  }
}

absl::StatusOr<BuildResult> WeightSetBuilder::Lead(
    const ResolvedSpec& spec, const std::string& id, Flight* flight,
    const Caller& caller, const OnProgress& on_progress) {
  // The flight before this one may have landed since the caller looked.
  if (auto stored = store_->Get(id); stored.ok()) {
    BuildResult result;
    result.set = *std::move(stored);
    result.cached = true;
    return result;
  }
  const absl::Time start = clip::MonotonicNow();
  const auto progress = [&](int64_t done, int64_t total, int64_t tokens) {
    BuildProgress now{done, total, tokens, absl::InfiniteDuration()};
    if (done > 0) {
      now.time_left = (clip::MonotonicNow() - start) * (total - done) / done;
    }
    const bool waits = caller.StillWaiting().ok();
    if (waits && on_progress) on_progress(now);
    clip::MutexLock lock(&mu_);
    flight->progress = now;
    flight->changed.NotifyAll();
    flight->abandoned = !waits && flight->joined == 0;
    return !flight->abandoned;
  };
  absl::StatusOr<BuildResult> result = LeadWithLease(spec, id, progress);
  if (!result.ok() && absl::IsCancelled(result.status())) {
    if (absl::Status left = caller.StillWaiting(); !left.ok()) return left;
  }
  return result;
}

absl::StatusOr<BuildResult> WeightSetBuilder::LeadWithLease(
    const ResolvedSpec& spec, const std::string& id,
    const clip::TextProgress& progress) {
  if (lease_ == nullptr) return BuildNow(spec, id, progress);
  const absl::Time start = clip::MonotonicNow();
  const auto built_elsewhere = WaitForLease(spec, id, progress);
  if (!built_elsewhere.ok()) return built_elsewhere.status();
  absl::StatusOr<BuildResult> result = BuildResult{};
  if (*built_elsewhere != nullptr) {
    result->set = *built_elsewhere;
    result->cached = true;
    result->timing.queue = clip::MonotonicNow() - start;
  } else {
    absl::Time taken = clip::MonotonicNow();
    const absl::Cleanup release = [&] { lease_->Release(id); };
    result =
        BuildNow(spec, id, [&](int64_t done, int64_t total, int64_t tokens) {
          if (clip::MonotonicNow() - taken > BuildLease::kLasts / 4) {
            taken = clip::MonotonicNow();
            // Whatever the answer: what is begun is finished, and equal.
            (void)lease_->Take(id);
          }
          return progress(done, total, tokens);
        });
  }
  return result;
}

absl::StatusOr<std::shared_ptr<const WeightSet>> WeightSetBuilder::WaitForLease(
    const ResolvedSpec& spec, const std::string& id,
    const clip::TextProgress& progress) {
  while (true) {
    const absl::StatusOr<bool> mine = lease_->Take(id);
    // The one who had it may have put the set there since we looked.
    if (auto stored = store_->Get(id); stored.ok()) {
      if (mine.ok() && *mine) lease_->Release(id);
      return stored;
    }
    if (!mine.ok() || *mine) return nullptr;
    if (!progress(0, spec.total_prompts(), 0)) {
      return absl::CancelledError("nobody waits for the build any more");
    }
    absl::SleepFor(kLookAtLease);
  }
}

absl::StatusOr<BuildResult> WeightSetBuilder::BuildNow(
    const ResolvedSpec& spec, const std::string& id,
    const clip::TextProgress& progress) {
  const clip::ModelInfo& info = model_->info();
  auto set = std::make_shared<WeightSet>();
  set->id = id;
  set->model_fingerprint = info.fingerprint;
  set->precision = info.precision;
  set->embedding_dim = info.embedding_dim;
  set->num_prompts = spec.total_prompts();
  set->templates = spec.templates();
  for (int c = 0; c < spec.num_classes(); ++c) {
    set->class_names.push_back(spec.class_name(c));
    if (spec.own_prompts(c).empty()) continue;
    set->own_prompts.resize(spec.num_classes());
    set->own_prompts[c] = spec.own_prompts(c);
  }
  // Known before the work is done.
  const int64_t weights_bytes = int64_t{spec.num_classes()} *
                                info.embedding_dim *
                                static_cast<int64_t>(sizeof(float));
  absl::Status fits = store_->CheckSize(set->SizeBytes() + weights_bytes);
  if (!fits.ok()) return fits;
  absl::StatusOr<EncodedClasses> encoded = encoder_.Encode(spec, progress);
  if (!encoded.ok()) return encoded.status();
  BuildResult result;
  result.timing.tokenize = encoded->tokenize;
  result.timing.encode = encoded->encode;
  result.num_tokens_encoded = encoded->num_tokens_encoded;
  const absl::Time start = clip::MonotonicNow();
  set->num_tokens = encoded->num_tokens;
  set->weights = std::move(encoded->weights);
  set->create_time = absl::Now();
  result.set = set;
  if (absl::Status status = store_->Put(set); !status.ok()) return status;
  result.timing.finish = clip::MonotonicNow() - start;
  return result;
}

}  // namespace zeroshot
