// Quotes text of callers for messages.
#ifndef ZEROSHOT_BASE_QUOTED_H_
#define ZEROSHOT_BASE_QUOTED_H_

#include <string>

#include "absl/strings/string_view.h"

namespace base {

// `text` between single quotes as one line of valid UTF-8, whatever its bytes
// are: control characters, quotes and bytes that are not UTF-8 become C
// escapes. Text of more than 80 bytes is cut between two characters, and
// "... (N bytes)" follows.
std::string Quoted(absl::string_view text);

}  // namespace base

#endif  // ZEROSHOT_BASE_QUOTED_H_
