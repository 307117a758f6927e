// Images within a text.
// Thread rule: free functions without state.
#ifndef ZEROSHOT_SERVER_HTTP_IMAGE_TEXT_H_
#define ZEROSHOT_SERVER_HTTP_IMAGE_TEXT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace zeroshot::server::http {

// The bytes of an image in JSON: base64, or a data URI of it. InvalidArgument:
// neither. URLs of other kinds are not fetched: whoever can make a server fetch
// what he names reaches inside its network.
absl::StatusOr<std::string> DecodeImageText(absl::string_view text,
                                            const std::string& path);

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_IMAGE_TEXT_H_
