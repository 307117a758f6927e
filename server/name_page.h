// Lists of names, a page at a time, because 100,000 names are too many for an
// answer.
#ifndef ZEROSHOT_SERVER_NAME_PAGE_H_
#define ZEROSHOT_SERVER_NAME_PAGE_H_

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace zeroshot::server {

// Names of a page if the request does not say, and at most.
inline constexpr int kDefaultNames = 1000;
inline constexpr int kMaxNames = 10'000;
// A page ends before names that take more: any gRPC client takes 4 MiB.
inline constexpr int64_t kMaxNameBytes = 1 << 20;

// The names [first, end) of a list.
struct NamePage {
  int64_t first = 0;
  int64_t end = 0;
  std::string next_page_token;  // empty behind the last name
};

// The page of a list of `count` names that begins where `page_token` says
// (empty: the first). A token is the index of the page's first name.
// `bytes_of` says how many bytes the answer has for the name of an index.
// InvalidArgument: a page_size below 0, or a token that this list has not.
absl::StatusOr<NamePage> FindNamePage(
    int64_t count, int page_size, absl::string_view page_token,
    absl::FunctionRef<int64_t(int64_t)> bytes_of);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_NAME_PAGE_H_
