// NaN and infinities, which a damaged checkpoint or a broken device makes, end
// as errors, never as answers.
#ifndef ZEROSHOT_BASE_FINITE_H_
#define ZEROSHOT_BASE_FINITE_H_

#include <algorithm>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace base {

inline bool AllFinite(absl::Span<const float> values) {
  return std::all_of(values.begin(), values.end(),
                     [](float value) { return std::isfinite(value); });
}

// Internal: `what` holds NaN or infinite values.
inline absl::Status NotFinite(absl::string_view what) {
  return absl::InternalError(
      absl::StrCat(what,
                   " holds values that are NaN or infinite: the model's "
                   "weights or the device are damaged"));
}

}  // namespace base

#endif  // ZEROSHOT_BASE_FINITE_H_
