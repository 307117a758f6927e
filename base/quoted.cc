#include "base/quoted.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/utf8.h"

namespace base {
namespace {

constexpr size_t kMaxShown = 80;
constexpr size_t kLongestCharacter = 4;

}  // namespace

std::string Quoted(absl::string_view text) {
  // NextCodePoint takes no more than kMaxTextBytes.
  const absl::string_view head = text.substr(0, kMaxShown + kLongestCharacter);
  std::string quoted = "'";
  size_t at = 0;
  while (at < head.size()) {
    const size_t begin = at;
    const int32_t code_point = NextCodePoint(head, &at);
    if (at > kMaxShown) {
      at = begin;
      break;
    }
    const absl::string_view bytes = head.substr(begin, at - begin);
    // C1 controls are as invisible as those of ASCII.
    const bool readable = code_point >= 0xA0;
    absl::StrAppend(&quoted,
                    readable ? std::string(bytes) : absl::CHexEscape(bytes));
  }
  if (at == text.size()) return quoted + "'";
  return absl::StrCat(quoted, "...' (", text.size(), " bytes)");
}

}  // namespace base
