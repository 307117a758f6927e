// How much work a device is given at once, where its memory may run out: other
// programs use a GPU's memory too.
//
// When memory runs out for some amount, half of it is tried next, until it
// fits or nothing smaller is left. The smaller size stays for the calls that
// follow, because a try that fails is expensive (caches are emptied, the device
// waits). After many that fitted it doubles again, up to the largest, because
// other programs may have given the memory back.
#ifndef ZEROSHOT_CLIP_ADAPTIVE_SIZE_H_
#define ZEROSHOT_CLIP_ADAPTIVE_SIZE_H_

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "base/mutex.h"

namespace clip {

// Thread rule: every method may be called from many threads at once.
class AdaptiveSize {
 public:
  // Tries of more than half the size that must fit before it doubles.
  static constexpr int kCalm = 64;

  // REQUIRES: 1 <= smallest <= largest.
  AdaptiveSize(int64_t smallest, int64_t largest)
      : smallest_(smallest), largest_(largest), size_(largest) {}

  // The most to try now.
  int64_t size() {
    base::MutexLock lock(&mu_);
    return size_;
  }

  // Memory ran out for `tried`. False: nothing smaller is left to try.
  bool Failed(int64_t tried) {
    base::MutexLock lock(&mu_);
    fitted_ = 0;
    if (tried <= smallest_) return false;
    size_ = std::max(smallest_, std::min(size_, tried / 2));
    return true;
  }

  // `tried` fitted.
  void Fitted(int64_t tried) {
    base::MutexLock lock(&mu_);
    if (size_ == largest_ || 2 * tried <= size_ || ++fitted_ < kCalm) return;
    size_ = std::min(largest_, size_ * 2);
    fitted_ = 0;
  }

 private:
  const int64_t smallest_;
  const int64_t largest_;
  base::Mutex mu_;
  int64_t size_ ABSL_GUARDED_BY(mu_);
  int fitted_ ABSL_GUARDED_BY(mu_) = 0;  // tries since the size last changed
};

// Calls run(begin, end), which returns a Status, for ranges that one after the
// other are [0, n), each as large as `size` says. Where one is
// ResourceExhausted, calls relieve() and tries a smaller one from the same
// begin. Returns the first other error, or ResourceExhausted if the smallest
// did not fit.
template <typename Run, typename Relieve>
absl::Status InParts(int64_t n, AdaptiveSize* size, const Run& run,
                     const Relieve& relieve) {
  for (int64_t begin = 0; begin < n;) {
    const int64_t count = std::min(n - begin, size->size());
    const absl::Status status = run(begin, begin + count);
    if (absl::IsResourceExhausted(status) && size->Failed(count)) {
      relieve();
      continue;
    }
    if (!status.ok()) return status;
    size->Fitted(count);
    begin += count;
  }
  return absl::OkStatus();
}

}  // namespace clip

#endif  // ZEROSHOT_CLIP_ADAPTIVE_SIZE_H_
