// Several pieces of work for one caller, on its thread and on helpers that live
// as long as there is some left.
#ifndef ZEROSHOT_BASE_IN_PARALLEL_H_
#define ZEROSHOT_BASE_IN_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/mutex.h"
#include "base/no_throw.h"

namespace base {

// Calls work(i), which returns a Status, for 0 <= i < count, on at most
// `threads` threads, this one included: each takes the next i. Where the system
// gives no thread there are fewer. The first error is returned; nothing is
// begun after it. Work that throws ends as NoThrow says of `what`.
template <typename Work>
absl::Status InParallel(size_t count, size_t threads, absl::string_view what,
                        const Work& work) {
  std::atomic<size_t> next{0};
  Mutex mu;
  absl::Status first;  // guarded by mu
  const auto take = [&] {
    for (size_t i = next++; i < count; i = next++) {
      absl::Status status = NoThrow(what, [&] { return work(i); });
      if (status.ok()) continue;
      next = count;
      MutexLock lock(&mu);
      first.Update(status);
    }
  };
  std::vector<std::thread> helpers;
  const size_t wanted = std::min(count, threads);
  if (wanted > 1) {
    helpers.reserve(wanted - 1);
    try {
      while (helpers.size() + 1 < wanted) helpers.emplace_back(take);
    } catch (const std::system_error&) {
      // Those that there are do it all.
    }
  }
  take();
  for (std::thread& helper : helpers) helper.join();
  return first;
}

}  // namespace base

#endif  // ZEROSHOT_BASE_IN_PARALLEL_H_
