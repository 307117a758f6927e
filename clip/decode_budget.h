// Limits what all decodes take together: bytes of memory, and processors.
//
// A decode knows from its header what it will take (clip/image.h). It takes a
// share of the budget before it takes the memory, waits for the share while
// others hold theirs, and gives it back when it ends:
//
//   DecodeBudget budget({.bytes = int64_t{1} << 30});
//   absl::StatusOr<DecodeBudget::Share> share = budget.Take(bytes, caller);
//   if (!share.ok()) return share.status();
//   ... decode ...
//
// Shares are given first come, first served. At most kMaxOvertaken smaller ones
// overtake a share that does not fit yet; then the others wait with it. So many
// small images do not starve a large one, and one large image does not stop all
// small ones for longer than it has to. Small images have places of their own,
// so that many large ones do not stop them either.
#ifndef ZEROSHOT_CLIP_DECODE_BUDGET_H_
#define ZEROSHOT_CLIP_DECODE_BUDGET_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/caller.h"
#include "base/mutex.h"

namespace clip {

// Thread rule: every method may be called from many threads at once.
class DecodeBudget {
 public:
  static constexpr int kMaxOvertaken = 16;

  struct Options {
    int64_t bytes = int64_t{1} << 30;

    // Decodes at once; 0: twice the cores that this process may use. More
    // would not be quicker and would only take memory.
    int at_once = 0;

    // A decode of at most so many bytes is small. One in four of the places, or
    // one, and their memory is for small ones alone, unless a large one needs
    // all memory. 0: none is small.
    int64_t small = 0;

    // What a refusal calls the limit, such as the flag that sets it.
    std::string name = "the decode budget";
  };

  // A part of the budget, given back when destroyed. Must not outlive the
  // budget. A moved-from or default share is empty.
  class Share {
   public:
    Share() = default;
    Share(DecodeBudget* budget, int64_t bytes)
        : budget_(budget), bytes_(bytes) {}
    Share(Share&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)),
          bytes_(other.bytes_) {}
    Share& operator=(Share&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Share() {
      if (budget_ != nullptr) budget_->GiveBack(bytes_);
    }

   private:
    DecodeBudget* budget_ = nullptr;
    int64_t bytes_ = 0;
  };

  explicit DecodeBudget(Options options);

  DecodeBudget(const DecodeBudget&) = delete;
  DecodeBudget& operator=(const DecodeBudget&) = delete;

  // Waits until so many bytes and a place among those at once are free.
  // InvalidArgument: more than the whole budget. DeadlineExceeded, Cancelled:
  // the caller has left; a caller who goes is noticed within kPatience.
  absl::StatusOr<Share> Take(int64_t bytes, const base::Caller& caller);

  // Decodes at once that one caller should ask for: half of all, so that others
  // find places; as many as there are cores unless Options says otherwise.
  int at_once_for_one() const { return std::max(1, options_.at_once / 2); }

  struct Stats {
    int64_t bytes = 0;      // taken now
    int64_t max_bytes = 0;  // of the budget
    int running = 0;        // shares held
    int waiting = 0;        // callers in Take that wait
    absl::Duration waited;  // by all so far, those that gave up included
  };
  Stats stats();

 private:
  // One call of Take that has not been served; on its stack, guarded by mu_.
  struct Waiter {
    const int64_t bytes;
    int overtaken = 0;
    bool served = false;
    base::CondVar changed;
  };

  // How long a waiting caller may be gone before that is noticed.
  static constexpr absl::Duration kPatience = absl::Milliseconds(20);

  bool IsSmall(int64_t bytes) const { return bytes <= options_.small; }
  int PlacesOfSmall() const;
  void GiveBack(int64_t bytes);
  // Whether a waiter may be served. `overtaken`: the first that was overtaken
  // enough, if there is one before it.
  bool Fits(const Waiter& waiter, const Waiter* overtaken) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Serves every waiter that may be served now.
  void Serve() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  base::Mutex mu_;
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  int running_ ABSL_GUARDED_BY(mu_) = 0;
  // Of these the large ones'.
  int64_t large_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  int large_running_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<Waiter*> waiters_ ABSL_GUARDED_BY(mu_);  // in their order
  absl::Duration waited_ ABSL_GUARDED_BY(mu_);
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_DECODE_BUDGET_H_
