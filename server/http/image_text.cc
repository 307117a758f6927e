#include "server/http/image_text.h"

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error_info.h"

namespace zeroshot::server::http {

absl::StatusOr<std::string> DecodeImageText(absl::string_view text,
                                            const std::string& path) {
  if (absl::StartsWithIgnoreCase(text, "http:") ||
      absl::StartsWithIgnoreCase(text, "https:")) {
    return base::InvalidField(
        path, absl::StrCat(path,
                           " is a URL, which the server does not fetch; "
                           "send the image itself, as base64 or as a "
                           "data URI"));
  }
  if (absl::ConsumePrefix(&text, "data:")) {
    const size_t comma = text.find(',');
    if (comma == text.npos ||
        !absl::EndsWithIgnoreCase(text.substr(0, comma), ";base64")) {
      return base::InvalidField(
          path, absl::StrCat(path, " is a data URI without `;base64,`"));
    }
    text.remove_prefix(comma + 1);
  }
  std::string image;
  if (!absl::Base64Unescape(text, &image) &&
      !absl::WebSafeBase64Unescape(text, &image)) {
    return base::InvalidField(
        path, absl::StrCat(path,
                           " must be an image as base64 or as a data "
                           "URI (data:image/png;base64,...)"));
  }
  return image;
}

}  // namespace zeroshot::server::http
