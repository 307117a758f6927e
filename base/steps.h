// What is done for a call, and when, for those who trace calls: the libraries
// note it, the server makes spans of it (server/tracing.h). Where nobody traces
// there are no Steps, and nothing is noted.
#ifndef ZEROSHOT_BASE_STEPS_H_
#define ZEROSHOT_BASE_STEPS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "base/monotonic.h"
#include "base/mutex.h"

namespace base {

// Thread rule: every method may be called from many threads at once.
class Steps {
 public:
  // Of one call. Further ones are left out, with what is below them.
  static constexpr int kMost = 256;
  // As the step above one that is directly the call's, and for one left out.
  static constexpr int kCall = -1, kLeftOut = -2;

  // A number about a step. The name outlives the steps.
  struct Fact {
    const char* name;
    int64_t value;
  };

  struct Step {
    const char* name;  // outlives the steps
    int above;         // the index of the step that this is part of, or kCall
    absl::Time start;  // of MonotonicNow
    absl::Time end = absl::InfiniteFuture();  // infinite: not ended
    std::vector<Fact> facts;
  };

  // A step that begins; its index, or kLeftOut.
  int Begin(const char* name, absl::Time start, int above = kCall) {
    MutexLock lock(&mu_);
    if (above == kLeftOut || static_cast<int>(steps_.size()) >= kMost) {
      return kLeftOut;
    }
    steps_.push_back({name, above, start, absl::InfiniteFuture(), {}});
    return static_cast<int>(steps_.size()) - 1;
  }

  void End(int step, absl::Time end, std::vector<Fact> facts = {}) {
    MutexLock lock(&mu_);
    if (step == kLeftOut) return;
    steps_[step].end = end;
    steps_[step].facts = std::move(facts);
  }

  // In the order in which they began, so that a step is behind the one that it
  // is part of. Those that have not ended end now.
  std::vector<Step> Take() {
    MutexLock lock(&mu_);
    for (Step& step : steps_) {
      if (step.end == absl::InfiniteFuture()) step.end = MonotonicNow();
    }
    return std::move(steps_);
  }

 private:
  Mutex mu_;
  std::vector<Step> steps_ ABSL_GUARDED_BY(mu_);
};

// A step that lasts as long as this object.
//
// Thread rule: use from one thread; others may have steps below it meanwhile.
class ScopedStep {
 public:
  // `steps` is borrowed; null: nothing is noted.
  ScopedStep(Steps* steps, const char* name)
      : ScopedStep(steps, name, Steps::kCall) {}
  // Part of another one, which outlives it.
  ScopedStep(const ScopedStep& above, const char* name)
      : ScopedStep(above.steps_, name, above.step_) {}
  ~ScopedStep() {
    if (steps_ != nullptr) steps_->End(step_, MonotonicNow(), facts_);
  }
  ScopedStep(const ScopedStep&) = delete;
  ScopedStep& operator=(const ScopedStep&) = delete;

  void Add(Steps::Fact fact) {
    if (steps_ != nullptr) facts_.push_back(fact);
  }

 private:
  ScopedStep(Steps* steps, const char* name, int above) : steps_(steps) {
    if (steps != nullptr) step_ = steps->Begin(name, MonotonicNow(), above);
  }

  Steps* const steps_;
  int step_ = Steps::kLeftOut;
  std::vector<Steps::Fact> facts_;
};

}  // namespace base

#endif  // ZEROSHOT_BASE_STEPS_H_
