#include "client/cli/arguments.h"

#include <algorithm>
#include <numeric>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace zeroshot::client {
namespace {

// Levenshtein's distance: insertions, deletions and replacements.
int EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<int> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

absl::Status UnknownFlag(absl::string_view name,
                         absl::Span<const FlagDefinition> definitions) {
  std::vector<std::string> names;
  for (const FlagDefinition& flag : definitions) names.push_back(flag.name);
  return absl::InvalidArgumentError(
      absl::StrCat("unknown flag --", name, DidYouMean(name, "--", names)));
}

}  // namespace

std::string DidYouMean(absl::string_view word, absl::string_view prefix,
                       absl::Span<const std::string> candidates) {
  int best = std::max<int>(1, static_cast<int>(word.size()) / 3) + 1;
  absl::string_view nearest;
  for (const std::string& candidate : candidates) {
    // A beginning or a longer form of the right word is near at any length.
    const bool begins =
        word.size() >= 3 && (absl::StartsWith(candidate, word) ||
                             absl::StartsWith(word, candidate));
    const int distance = begins ? 1 : EditDistance(word, candidate);
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  if (nearest.empty()) return "";
  return absl::StrCat("; did you mean ", prefix, nearest, "?");
}

absl::StatusOr<Arguments> Arguments::Parse(
    absl::Span<const std::string> args,
    absl::Span<const FlagDefinition> definitions) {
  Arguments result;
  for (size_t i = 0; i < args.size(); ++i) {
    absl::string_view arg = args[i];
    if (arg == "--") {
      result.positional_.insert(result.positional_.end(), args.begin() + i + 1,
                                args.end());
      break;
    }
    if (arg == "-h") arg = "--help";
    if (arg == "-" || !absl::StartsWith(arg, "-")) {
      result.positional_.push_back(args[i]);
      continue;
    }
    arg.remove_prefix(absl::StartsWith(arg, "--") ? 2 : 1);
    const size_t equals = arg.find('=');
    const std::string name(arg.substr(0, equals));
    const auto flag =
        std::find_if(definitions.begin(), definitions.end(),
                     [&](const auto& known) { return name == known.name; });
    if (flag == definitions.end()) return UnknownFlag(name, definitions);
    const bool attached = equals != absl::string_view::npos;
    std::string value;
    if (flag->value == nullptr) {
      if (attached) {
        return absl::InvalidArgumentError(
            absl::StrCat("--", name, " takes no value"));
      }
    } else if (attached) {
      value = std::string(arg.substr(equals + 1));
    } else if (i + 1 < args.size()) {
      value = args[++i];
    } else {
      return absl::InvalidArgumentError(absl::StrCat(
          "--", name, " needs a value: --", name, "=", flag->value));
    }
    std::vector<std::string>& values = result.flags_[name];
    if (!values.empty() && !flag->repeated) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", name, " is given twice"));
    }
    values.push_back(value);
  }
  return result;
}

bool Arguments::Has(absl::string_view flag) const {
  return flags_.find(flag) != flags_.end();
}

std::string Arguments::Text(absl::string_view flag) const {
  const auto found = flags_.find(flag);
  return found == flags_.end() ? "" : found->second.front();
}

std::vector<std::string> Arguments::Texts(absl::string_view flag) const {
  const auto found = flags_.find(flag);
  return found == flags_.end() ? std::vector<std::string>() : found->second;
}

absl::StatusOr<int> Arguments::Integer(absl::string_view flag, int otherwise,
                                       int low, int high) const {
  if (!Has(flag)) return otherwise;
  int value = 0;
  if (!absl::SimpleAtoi(Text(flag), &value) || value < low || value > high) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, " is '", Text(flag),
                     "'; it should be a number from ", low, " to ", high));
  }
  return value;
}

absl::StatusOr<std::optional<absl::Duration>> Arguments::Time(
    absl::string_view flag) const {
  if (!Has(flag)) return std::nullopt;
  const std::string text = Text(flag);
  absl::Duration duration;
  double seconds = 0;
  const bool parsed = absl::SimpleAtod(text, &seconds)
                          ? (duration = absl::Seconds(seconds), true)
                          : absl::ParseDuration(text, &duration);
  if (!parsed || duration <= absl::ZeroDuration() ||
      duration > absl::Hours(24 * 365)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, " is '", text,
                     "'; it should be a time such as 30, 500ms or 2m"));
  }
  return duration;
}

}  // namespace zeroshot::client
