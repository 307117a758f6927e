#include "server/http/url.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/quoted.h"

namespace zeroshot::server::http {
namespace {

int HexDigit(char c) {
  if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return -1;
  return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

}  // namespace

std::pair<absl::string_view, absl::string_view> SplitTarget(
    absl::string_view target) {
  const size_t scheme = target.find("://");
  if (!absl::StartsWith(target, "/") && scheme != target.npos) {
    const size_t path = target.find_first_of("/?", scheme + 3);
    target = path == target.npos ? "/" : target.substr(path);
  }
  const size_t mark = target.find('?');
  if (mark == target.npos) return {target, ""};
  return {target.substr(0, mark), target.substr(mark + 1)};
}

absl::StatusOr<std::string> PercentDecoded(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("the URL holds a % without two hexadecimal digits: ",
                       base::Quoted(text)));
    }
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return out;
}

absl::StatusOr<Fields> ParseUrlEncoded(absl::string_view text, int most) {
  Fields fields;
  while (!text.empty()) {
    const size_t end = std::min(text.find('&'), text.size());
    const std::string field =
        absl::StrReplaceAll(text.substr(0, end), {{"+", " "}});
    text.remove_prefix(std::min(end + 1, text.size()));
    if (field.empty()) continue;
    if (static_cast<int>(fields.size()) == most) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the request has too many fields; at most ", most, " are allowed"));
    }
    const size_t mark = std::min(field.find('='), field.size());
    absl::StatusOr<std::string> name = PercentDecoded(field.substr(0, mark));
    if (!name.ok()) return name.status();
    absl::StatusOr<std::string> value =
        PercentDecoded(field.substr(std::min(mark + 1, field.size())));
    if (!value.ok()) return value.status();
    fields.emplace_back(*std::move(name), *std::move(value));
  }
  return fields;
}

}  // namespace zeroshot::server::http
