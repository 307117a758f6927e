// Turns the standard library's exceptions into statuses: memory or a thread
// that cannot be had is the failure of one call, and nobody else may wait for
// it. (LibTorch's end in clip/torch/caught.h.)
#ifndef ZEROSHOT_BASE_NO_THROW_H_
#define ZEROSHOT_BASE_NO_THROW_H_

#include <exception>
#include <new>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace base {

// What `run` returns, a Status or StatusOr. If it throws: ResourceExhausted
// "not enough memory for `what`", or Internal with what the exception says.
template <typename Run>
auto NoThrow(absl::string_view what, const Run& run) -> decltype(run()) {
  try {
    return run();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        absl::StrCat("not enough memory for ", what));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat(what, ": ", error.what()));
  }
}

}  // namespace base

#endif  // ZEROSHOT_BASE_NO_THROW_H_
