#include "base/quantities.h"

#include <cmath>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace base {
namespace {

constexpr absl::string_view kUnits = "KMGT";

// Digits, and a fraction if there is a point: no sign, exponent, "inf".
bool IsPlainNumber(absl::string_view text) {
  return !text.empty() && absl::ascii_isdigit(text.front()) &&
         absl::ascii_isdigit(text.back()) &&
         text.find_first_not_of("0123456789.") == text.npos &&
         text.find('.') == text.rfind('.');
}

}  // namespace

std::optional<int64_t> ParseBytes(absl::string_view text) {
  const size_t end = text.find_first_not_of("0123456789.");
  const absl::string_view number = text.substr(0, end);
  if (!IsPlainNumber(number)) return std::nullopt;
  int64_t unit = 1;
  if (end != text.npos) {
    const size_t power = kUnits.find(absl::ascii_toupper(text[end]));
    const absl::string_view rest = text.substr(end + 1);
    const bool bytes_alone = power == kUnits.npos && rest.empty() &&
                             absl::ascii_toupper(text[end]) == 'B';
    const bool known = power != kUnits.npos &&
                       (rest.empty() || absl::EqualsIgnoreCase(rest, "B") ||
                        absl::EqualsIgnoreCase(rest, "i") ||
                        absl::EqualsIgnoreCase(rest, "iB"));
    if (!known && !bytes_alone) return std::nullopt;
    if (known) unit = int64_t{1} << (10 * (power + 1));
  }
  int64_t whole = 0;
  if (absl::SimpleAtoi(number, &whole)) {
    if (whole > std::numeric_limits<int64_t>::max() / unit) return std::nullopt;
    return whole * unit;
  }
  // A fraction of a byte is none.
  double value = 0;
  if (unit == 1 || !absl::SimpleAtod(number, &value)) return std::nullopt;
  value = std::round(value * static_cast<double>(unit));
  if (value >= std::ldexp(1.0, 63)) return std::nullopt;
  return static_cast<int64_t>(value);
}

std::string BytesText(int64_t bytes) {
  for (int power = static_cast<int>(kUnits.size()); power > 0; --power) {
    const int64_t unit = int64_t{1} << (10 * power);
    if (bytes != 0 && bytes % unit == 0) {
      return absl::StrCat(bytes / unit, kUnits.substr(power - 1, 1), "iB");
    }
  }
  return absl::StrCat(bytes);
}

std::optional<absl::Duration> ParseTime(absl::string_view text) {
  double seconds = 0;
  if (IsPlainNumber(text) && absl::SimpleAtod(text, &seconds)) {
    return absl::Seconds(seconds);
  }
  absl::Duration time;
  if (!absl::ParseDuration(text, &time)) return std::nullopt;
  return time;
}

}  // namespace base
