#include "base/error_info.h"

#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace base {
namespace {

// The payload: the reason, then keys and values in turn, with NUL in between.
constexpr char kUrl[] = "zeroshot/error-info";
constexpr char kBetween = '\0';

}  // namespace

absl::Status WithReason(absl::Status status, absl::string_view reason,
                        const ErrorMetadata& metadata) {
  ErrorInfo info =
      ErrorInfoOf(status).value_or(ErrorInfo{std::string(reason), {}});
  info.metadata.insert(metadata.begin(), metadata.end());
  std::string payload = info.reason;
  for (const auto& [key, value] : info.metadata) {
    for (const std::string& text : {key, value}) {
      payload += kBetween;
      payload += text.substr(0, text.find(kBetween));
    }
  }
  status.SetPayload(kUrl, absl::Cord(payload));
  return status;
}

absl::Status WithPrefix(absl::string_view prefix, const absl::Status& status) {
  absl::Status result(status.code(), absl::StrCat(prefix, status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    result.SetPayload(url, payload);
  });
  return result;
}

absl::Status InField(absl::string_view field, const absl::Status& status) {
  const absl::optional<ErrorInfo> info = ErrorInfoOf(status);
  if (!info.has_value()) return status;
  const auto inner = info->metadata.find("field");
  if (inner == info->metadata.end()) return status;
  return InvalidField(absl::StrCat(field, ".", inner->second),
                      absl::StrCat(field, ": ", status.message()));
}

absl::optional<ErrorInfo> ErrorInfoOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kUrl);
  if (!payload.has_value()) return absl::nullopt;
  const std::vector<std::string> texts =
      absl::StrSplit(std::string(*payload), kBetween);
  ErrorInfo info{texts[0], {}};
  for (size_t i = 1; i + 1 < texts.size(); i += 2) {
    info.metadata[texts[i]] = texts[i + 1];
  }
  return info;
}

absl::Status InvalidField(absl::string_view field, absl::string_view message) {
  return WithReason(absl::InvalidArgumentError(message), kInvalidField,
                    {{"field", std::string(field)}});
}

}  // namespace base
