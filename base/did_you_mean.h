// Suggestions for names that were mistyped.
#ifndef ZEROSHOT_BASE_DID_YOU_MEAN_H_
#define ZEROSHOT_BASE_DID_YOU_MEAN_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace base {

// The candidate nearest to `word`; empty if none is near.
std::string Nearest(absl::string_view word,
                    absl::Span<const std::string> candidates);

// "; did you mean PREFIXx?" with the nearest candidate x, or nothing.
std::string DidYouMean(absl::string_view word, absl::string_view prefix,
                       absl::Span<const std::string> candidates);

}  // namespace base

#endif  // ZEROSHOT_BASE_DID_YOU_MEAN_H_
