// Long work that may wait for short work.
#ifndef ZEROSHOT_BASE_IN_BACKGROUND_H_
#define ZEROSHOT_BASE_IN_BACKGROUND_H_

#include <sys/resource.h>

#include <future>
#include <system_error>

namespace base {

// Returns work(), which a thread of its own runs that leaves the cores to
// others while they want them; the caller's runs it where the system gives no
// thread.
template <typename Work>
auto InBackground(const Work& work) {
  // A tenth of what the other threads get, not nothing: on a busy server long
  // work takes its time, but comes to an end.
  constexpr int kNicer = 10;
  std::future<decltype(work())> done;
  try {
    done = std::async(std::launch::async, [&] {
      // Linux: 0 is this thread alone.
      setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + kNicer);
      return work();
    });
  } catch (const std::system_error&) {
    return work();
  }
  return done.get();
}

}  // namespace base

#endif  // ZEROSHOT_BASE_IN_BACKGROUND_H_
