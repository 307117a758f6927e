// What ThreadSanitizer cannot see in libraries that are not instrumented: that
// they hand an object of ours from one thread to another. Nothing in other
// builds.
#ifndef ZEROSHOT_BASE_HAND_OVER_H_
#define ZEROSHOT_BASE_HAND_OVER_H_

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

namespace base {

// What this thread has done so far happens before what another does behind its
// TakeOver of the same object, if the library gives it that later.
inline void HandOver([[maybe_unused]] const void* object) {
#ifdef __SANITIZE_THREAD__
  __tsan_release(const_cast<void*>(object));
#endif
}

inline void TakeOver([[maybe_unused]] const void* object) {
#ifdef __SANITIZE_THREAD__
  __tsan_acquire(const_cast<void*>(object));
#endif
}

}  // namespace base

#endif  // ZEROSHOT_BASE_HAND_OVER_H_
