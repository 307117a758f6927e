#include "client/cli/arguments.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace zeroshot::client {
namespace {

absl::Status UnknownFlag(absl::string_view argument, absl::string_view name,
                         absl::Span<const FlagDefinition> definitions) {
  std::vector<std::string> names;
  for (const FlagDefinition& flag : definitions) names.push_back(flag.name);
  // Such as --json.png, which a shell made of *.png.
  if (access(std::string(argument).c_str(), F_OK) == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "unknown flag ", argument,
        "; a file has that name: put -- before file names that begin with a "
        "dash"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown flag --", name, DidYouMean(name, "--", names)));
}

}  // namespace

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
    if (flag == definitions.end()) {
      return UnknownFlag(args[i], name, definitions);
    }
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

absl::Status Arguments::ReadEnvironment(
    absl::Span<const FlagDefinition> definitions) {
  for (const FlagDefinition& flag : definitions) {
    const std::string variable =
        absl::StrCat("ZEROSHOT_", absl::AsciiStrToUpper(flag.name));
    const char* const value = std::getenv(variable.c_str());
    if (Has(flag.name) || value == nullptr || *value == '\0') continue;
    bool on = true;
    if (flag.value == nullptr && !absl::SimpleAtob(value, &on)) {
      return absl::InvalidArgumentError(absl::StrCat(
          variable, " is '", value, "'; it should be 1, true, 0 or false"));
    }
    if (on) flags_[flag.name] = {value};
  }
  return absl::OkStatus();
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

absl::StatusOr<std::optional<float>> Arguments::Number(absl::string_view flag,
                                                       float low,
                                                       float high) const {
  if (!Has(flag)) return std::nullopt;
  float value = 0;
  // Not NaN either.
  if (absl::SimpleAtof(Text(flag), &value) && value >= low && value <= high) {
    return value;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, " is '", Text(flag),
                   "'; it should be a number from ", low, " to ", high));
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
