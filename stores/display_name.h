// The names that people give weight sets. A name stands beside its set and not
// in it: neither the id nor the set's bytes tell of it, so that it may change.
// Of several that a set was given, on any server, the last one counts.
#ifndef ZEROSHOT_STORES_DISPLAY_NAME_H_
#define ZEROSHOT_STORES_DISPLAY_NAME_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "stores/store_keys.h"

namespace stores {

struct DisplayName {
  std::string text;      // empty: none was given
  int64_t given_us = 0;  // when, in microseconds since 1970; the later counts
};

inline constexpr size_t kMaxDisplayNameBytes = 256;

// InvalidArgument: longer than kMaxDisplayNameBytes, not UTF-8, or with
// characters that do not show: controls, line and paragraph separators, and
// those that turn the direction of what follows.
absl::Status CheckDisplayName(absl::string_view text);

// Whether `name` counts rather than `other`: given later or, at the same
// microsecond, greater as a text, so that all servers choose the same.
bool CountsRatherThan(const DisplayName& name, const DisplayName& other);

// A name as bytes, for stores below memory: the time in kDisplayTimeDigits
// digits, then its signature, then the name. Greater bytes count.
inline constexpr size_t kDisplayTimeDigits = 17;
std::string SerializeDisplayName(const DisplayName& name, absl::string_view id,
                                 const StoreKeys& keys);

// No name: the bytes are none of this set's, none of the keys signed them, or
// the name could not have been given.
DisplayName ParseDisplayName(absl::string_view bytes, absl::string_view id,
                             const StoreKeys& keys);

}  // namespace stores

#endif  // ZEROSHOT_STORES_DISPLAY_NAME_H_
