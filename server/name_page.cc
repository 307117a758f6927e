#include "server/name_page.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/error_info.h"

namespace zeroshot::server {

absl::StatusOr<NamePage> FindNamePage(
    int64_t count, int page_size, absl::string_view page_token,
    absl::FunctionRef<int64_t(int64_t)> bytes_of) {
  if (page_size < 0) {
    return base::InvalidField(
        "page_size", absl::StrCat("page_size is ", page_size, "; 0 (meaning ",
                                  kDefaultNames, ") and more are allowed"));
  }
  int64_t first = 0;
  if (!page_token.empty() &&
      (!absl::SimpleAtoi(page_token, &first) || first < 1 || first >= count)) {
    return base::InvalidField(
        "page_token",
        absl::StrCat("page_token of ", page_token.size(),
                     " bytes is none that this server gave for this list; "
                     "expected a next_page_token"));
  }
  const int64_t end = std::min<int64_t>(
      count, first + (page_size == 0 ? kDefaultNames
                                     : std::min(page_size, kMaxNames)));
  int64_t bytes = 0;
  int64_t i = first;
  for (; i < end; ++i) {
    bytes += bytes_of(i);
    if (i > first && bytes > kMaxNameBytes) break;
  }
  return NamePage{first, i, i < count ? absl::StrCat(i) : std::string()};
}

}  // namespace zeroshot::server
