#include "zeroshot/weight_set_builder.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "zeroshot/embedder.h"

namespace zeroshot {
namespace {

// How often a caller who joined a flight looks whether it still waits itself.
constexpr std::chrono::milliseconds kLookAgain{50};

// How often a server looks whether another one has built the set.
constexpr absl::Duration kLookAtLease = absl::Milliseconds(100);

// Prompts encoded by one call of the tower: bounds the memory for tokens
// whatever the size of the build, and is large enough for prompts that begin
// alike to meet.
constexpr int64_t kPromptsPerCall = 262'144;

struct TokenBatch {
  std::vector<std::vector<int32_t>> sequences;
  std::vector<int> classes;  // of each sequence
};

// Walks over the prompts of a spec, class by class.
class PromptReader {
 public:
  PromptReader(const ResolvedSpec* spec, const clip::Tokenizer* tokenizer,
               int context_length)
      : spec_(spec), tokenizer_(tokenizer), context_length_(context_length) {}

  // The tokens of the next prompts, `max` at most. Cancelled: `go_on`, asked
  // now and then, said no.
  absl::StatusOr<TokenBatch> Next(int64_t max,
                                  const std::function<bool()>& go_on) {
    constexpr int kPromptsBetweenChecks = 4096;
    TokenBatch batch;
    while (class_ < spec_->num_classes() && batch.sequences.size() < max) {
      if (batch.sequences.size() % kPromptsBetweenChecks == 0 && !go_on()) {
        return absl::CancelledError("nobody waits for the build any more");
      }
      absl::StatusOr<std::vector<int32_t>> tokens = EncodePrompt(
          *tokenizer_, context_length_, spec_->Prompt(class_, prompt_));
      if (!tokens.ok()) {
        return absl::Status(
            tokens.status().code(),
            absl::StrCat("class ", class_, " ('",
                         spec_->class_name(class_).substr(0, 80),
                         "'): ", tokens.status().message()));
      }
      batch.sequences.push_back(*std::move(tokens));
      batch.classes.push_back(class_);
      if (++prompt_ == spec_->num_prompts(class_)) {
        prompt_ = 0;
        ++class_;
      }
    }
    return batch;
  }

 private:
  const ResolvedSpec* const spec_;
  const clip::Tokenizer* const tokenizer_;
  const int context_length_;
  int class_ = 0;
  int prompt_ = 0;
};

// Adds unit rows to the sum of their class.
class ClassSums {
 public:
  ClassSums(int num_classes, int dim)
      : dim_(dim), sums_(static_cast<size_t>(num_classes) * dim) {}

  void Add(int c, const float* row) {
    double* sum = &sums_[static_cast<size_t>(c) * dim_];
    for (int d = 0; d < dim_; ++d) sum[d] += row[d];
  }

  // The direction of the mean is the direction of the sum.
  std::vector<float> UnitRows() const {
    std::vector<float> rows = MakeWeights(sums_.size());
    for (size_t begin = 0; begin < sums_.size(); begin += dim_) {
      double square = 0;
      for (int d = 0; d < dim_; ++d) {
        square += sums_[begin + d] * sums_[begin + d];
      }
      // Prompts that cancel out exactly leave zeros, not NaN.
      const double scale = square > 0 ? 1 / std::sqrt(square) : 0;
      for (int d = 0; d < dim_; ++d) {
        rows[begin + d] = static_cast<float>(sums_[begin + d] * scale);
      }
    }
    return rows;
  }

 private:
  const size_t dim_;
  std::vector<double> sums_;  // [C, D]
};

}  // namespace

WeightSetBuilder::WeightSetBuilder(clip::Model* model,
                                   const clip::Tokenizer* tokenizer,
                                   WeightStore* store,
                                   const BuildLimits& limits, int max_builds,
                                   BuildLease* lease)
    : model_(model),
      tokenizer_(tokenizer),
      store_(store),
      limits_(limits),
      lease_(lease),
      door_("builds", max_builds) {}

absl::StatusOr<BuildResult> WeightSetBuilder::Build(
    const ClassifierSpec& spec, const Caller& caller,
    const OnProgress& on_progress) {
  const absl::Time start = absl::Now();
  const absl::StatusOr<ResolvedSpec> resolved =
      ResolvedSpec::Resolve(spec, limits_);
  if (!resolved.ok()) return resolved.status();
  const clip::ModelInfo& info = model_->info();
  const std::string id = resolved->Id(info.fingerprint, info.precision);

  absl::StatusOr<BuildResult> result = BuildResult{};
  // A store that cannot answer is no reason not to build.
  if (auto stored = store_->Get(id); stored.ok()) {
    result->set = *std::move(stored);
    result->cached = true;
  } else {
    result = JoinOrLead(*resolved, id, caller, on_progress);
    if (!result.ok()) return result.status();
  }
  result->warnings = resolved->Warnings();
  result->timing.total = absl::Now() - start;
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
  absl::StatusOr<BuildResult> result =
      absl::ResourceExhaustedError("not enough memory for this build");
  try {
    result = Lead(spec, id, led.get(), caller, on_progress);
  } catch (const std::bad_alloc&) {
  }
  clip::MutexLock lock(&mu_);
  const auto it = flights_.find(id);
  if (it != flights_.end() && it->second == led) flights_.erase(it);
  led->result = result;
  led->changed.NotifyAll();
  return result;
}

absl::StatusOr<BuildResult> WeightSetBuilder::WaitFor(
    Flight* flight, const Caller& caller, const OnProgress& on_progress) {
  const absl::Time start = absl::Now();
  int64_t reported = -1;
  while (true) {
    BuildProgress progress;
    const absl::Status waiting = caller.StillWaiting();
    {
      clip::MutexLock lock(&mu_);
      if (waiting.ok() && !flight->result.has_value()) {
        flight->changed.WaitUntil(
            &mu_, std::chrono::system_clock::now() + kLookAgain);
      }
      if (!waiting.ok() || flight->result.has_value()) {
        --flight->joined;
        if (!flight->result.has_value()) return waiting;
        absl::StatusOr<BuildResult> result = *flight->result;
        if (result.ok()) {
          result->timing = BuildTiming();
          result->timing.queue = absl::Now() - start;
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
  const absl::Time start = absl::Now();
  const auto progress = [&](int64_t done, int64_t total) {
    BuildProgress now{done, total, absl::InfiniteDuration()};
    if (done > 0) {
      now.time_left = (absl::Now() - start) * (total - done) / done;
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
  const absl::Time start = absl::Now();
  const auto built_elsewhere = WaitForLease(spec, id, progress);
  if (!built_elsewhere.ok()) return built_elsewhere.status();
  absl::StatusOr<BuildResult> result = BuildResult{};
  if (*built_elsewhere != nullptr) {
    result->set = *built_elsewhere;
    result->cached = true;
    result->timing.queue = absl::Now() - start;
  } else {
    absl::Time taken = absl::Now();
    const absl::Cleanup release = [&] { lease_->Release(id); };
    result = BuildNow(spec, id, [&](int64_t done, int64_t total) {
      if (absl::Now() - taken > BuildLease::kLasts / 4) {
        taken = absl::Now();
        // Whatever the answer: what is begun is finished, and equal.
        (void)lease_->Take(id);
      }
      return progress(done, total);
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
    if (!progress(0, spec.total_prompts())) {
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
  BuildResult result;
  PromptReader prompts(&spec, tokenizer_, info.context_length);
  ClassSums sums(spec.num_classes(), info.embedding_dim);
  for (int64_t done = 0; done < spec.total_prompts();) {
    const absl::Time start = absl::Now();
    absl::StatusOr<TokenBatch> batch = prompts.Next(
        kPromptsPerCall, [&] { return progress(done, spec.total_prompts()); });
    if (!batch.ok()) return batch.status();
    const absl::Time tokenized = absl::Now();
    result.timing.tokenize += tokenized - start;
    const absl::StatusOr<int64_t> positions = model_->EncodeText(
        batch->sequences,
        [&](int64_t sequence, absl::Span<const float> row) {
          sums.Add(batch->classes[sequence], row.data());
        },
        [&](int64_t part, int64_t) {
          return progress(done + part, spec.total_prompts());
        });
    if (!positions.ok()) return positions.status();
    result.timing.encode += absl::Now() - tokenized;
    result.num_tokens_encoded += *positions;
    for (const std::vector<int32_t>& sequence : batch->sequences) {
      set->num_tokens += sequence.size();
    }
    done += batch->sequences.size();
  }
  const absl::Time encoded = absl::Now();
  set->weights = sums.UnitRows();
  set->create_time = encoded;
  result.set = set;
  if (absl::Status status = store_->Put(set); !status.ok()) return status;
  result.timing.finish = absl::Now() - encoded;
  return result;
}

}  // namespace zeroshot
