// Targets, query strings and urlencoded forms.
#ifndef ZEROSHOT_SERVER_HTTP_URL_H_
#define ZEROSHOT_SERVER_HTTP_URL_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace zeroshot::server::http {

// A target without its query, and the query: "/v1/model" and "a=b". Of
// "http://host/v1/model", which proxies send, the part behind the host.
std::pair<absl::string_view, absl::string_view> SplitTarget(
    absl::string_view target);

// `text` with its %XX decoded. InvalidArgument: a % without two hexadecimal
// digits.
absl::StatusOr<std::string> PercentDecoded(absl::string_view text);

// The fields of "a=b&c=d" in their order, in which + is a space too.
// InvalidArgument: badly encoded, or more than `most` fields.
using Fields = std::vector<std::pair<std::string, std::string>>;
absl::StatusOr<Fields> ParseUrlEncoded(absl::string_view text, int most);

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_URL_H_
