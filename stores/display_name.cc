#include "stores/display_name.h"

#include <tuple>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/error_info.h"
#include "base/quoted.h"
#include "base/utf8.h"

namespace stores {
namespace {

constexpr absl::string_view kUnsigned = "-";

bool IsHidden(int32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 ||
         (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

// What is signed.
std::string Signed(const DisplayName& name, absl::string_view id) {
  return absl::StrCat("display name\n", id, "\n", name.given_us, "\n",
                      name.text);
}

}  // namespace

absl::Status CheckDisplayName(absl::string_view text) {
  if (text.size() > kMaxDisplayNameBytes) {
    return base::InvalidField(
        "display_name",
        absl::StrCat("display_name has ", text.size(), " bytes; at most ",
                     kMaxDisplayNameBytes, " are allowed"));
  }
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const int32_t c = base::NextCodePoint(text, &at);
    if (c < 0) {
      return base::InvalidField(
          "display_name",
          absl::StrCat("display_name is not UTF-8 at byte ", begin));
    }
    if (IsHidden(c)) {
      return base::InvalidField(
          "display_name",
          absl::StrFormat("display_name has U+%04X at byte %d; characters "
                          "that do not show are not allowed: %s",
                          c, begin, base::Quoted(text)));
    }
  }
  return absl::OkStatus();
}

bool CountsRatherThan(const DisplayName& name, const DisplayName& other) {
  return std::tie(name.given_us, name.text) >
         std::tie(other.given_us, other.text);
}

std::string SerializeDisplayName(const DisplayName& name, absl::string_view id,
                                 const StoreKeys& keys) {
  const std::string signature = Signature(keys, Signed(name, id));
  return absl::StrFormat("%017d %s %s", name.given_us,
                         keys.empty() ? kUnsigned : signature, name.text);
}

DisplayName ParseDisplayName(absl::string_view bytes, absl::string_view id,
                             const StoreKeys& keys) {
  const size_t first = bytes.find(' ');
  const size_t second = bytes.find(' ', first + 1);
  DisplayName name;
  if (first != kDisplayTimeDigits || second == absl::string_view::npos ||
      !absl::SimpleAtoi(bytes.substr(0, first), &name.given_us) ||
      name.given_us < 0) {
    return {};
  }
  name.text = std::string(bytes.substr(second + 1));
  const absl::string_view signature =
      bytes.substr(first + 1, second - first - 1);
  if (!IsSigned(keys, Signed(name, id), signature) ||
      !CheckDisplayName(name.text).ok()) {
    return {};
  }
  return name;
}

}  // namespace stores
