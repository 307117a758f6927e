// Ids as people type them: by their beginning.
#ifndef ZEROSHOT_STORES_ID_PREFIX_H_
#define ZEROSHOT_STORES_ID_PREFIX_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "stores/weight_store.h"

namespace stores {

inline constexpr size_t kIdDigits = 64;        // of a whole id, a SHA-256
inline constexpr size_t kMinPrefixDigits = 8;  // of one that is cut short

// Whether it is a whole id: kIdDigits digits, after `imported-` if the set was
// imported. Upper-case digits are not those of an id.
bool IsWholeId(absl::string_view text);

// The id of the store's one set whose id begins with `given`: kMinPrefixDigits
// digits or more, after `imported-` if it was imported. A text that is a whole
// id, or cannot be the beginning of one, comes back as it is, whether there is
// such a set or not.
//
// InvalidArgument: fewer digits, or several sets; the message names some.
// NotFound: none.
absl::StatusOr<std::string> CompleteId(WeightStore* store,
                                       absl::string_view given);

}  // namespace stores

#endif  // ZEROSHOT_STORES_ID_PREFIX_H_
