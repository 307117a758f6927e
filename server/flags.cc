#include "server/flags.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/did_you_mean.h"
#include "base/quantities.h"

namespace zeroshot::server {
namespace {

constexpr absl::string_view kPrefix = "ZEROSHOT_";
// The flag that names a file of further ones.
constexpr absl::string_view kFlagFile = "flagfile";

// Nobody needs to read the largest number there is.
template <typename Value, typename Text>
std::string Range(Value low, Value high, Value none, Text text) {
  return high == none ? absl::StrCat("of ", text(low), " or more")
                      : absl::StrCat("from ", text(low), " to ", text(high));
}

std::string VariableOf(absl::string_view flag) {
  return absl::StrCat(kPrefix, absl::AsciiStrToUpper(flag));
}

std::optional<bool> ParseSwitch(std::string text) {
  absl::AsciiStrToLower(&text);
  for (const char* yes : {"true", "yes", "on", "1"}) {
    if (text == yes) return true;
  }
  for (const char* no : {"false", "no", "off", "0"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

// What Kubernetes sets in every pod beside a Service "zeroshot" or
// "zeroshot-...": ZEROSHOT_SERVICE_HOST, ZEROSHOT_PORT_50051_TCP_ADDR.
bool IsOfKubernetes(absl::string_view variable) {
  return absl::StrContains(variable, "_SERVICE_HOST") ||
         absl::StrContains(variable, "_SERVICE_PORT") ||
         absl::EndsWith(variable, "_PORT") ||
         absl::StrContains(variable, "_TCP") ||
         absl::StrContains(variable, "_UDP");
}

// Of a line of a flagfile: `"a b"` is a b.
absl::string_view Unquoted(absl::string_view value) {
  if (value.size() >= 2 && value.front() == value.back() &&
      (value.front() == '"' || value.front() == '\'')) {
    return value.substr(1, value.size() - 2);
  }
  return value;
}

}  // namespace

Environment ProcessEnvironment() {
  Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const absl::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals == text.npos) continue;
    environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

void Flags::Topic(absl::string_view title) { topics_.emplace_back(title); }

Flags::Flag& Flags::Add(absl::string_view name, absl::string_view value,
                        absl::string_view help, std::string default_text,
                        absl::string_view allowed,
                        std::function<bool(const std::string&)> set) {
  Flag flag;
  flag.topic = topics_.size() - 1;
  flag.page = {std::string(name), std::string(value), std::string(help),
               std::move(default_text)};
  flag.set = std::move(set);
  flag.allowed = std::string(allowed);
  flags_.push_back(std::move(flag));
  return flags_.back();
}

void Flags::Text(absl::string_view name, absl::string_view value,
                 std::string* out, absl::string_view help) {
  Add(name, value, help, *out, "a text", [out](const std::string& text) {
    *out = text;
    return true;
  });
}

void Flags::Secret(absl::string_view name, absl::string_view value,
                   std::string* out, absl::string_view help) {
  Text(name, value, out, help);
  flags_.back().is_secret = true;
}

void Flags::Switch(absl::string_view name, bool* out, absl::string_view help) {
  Add(name, "", help, *out ? "on" : "", "true or false",
      [out](const std::string& text) {
        const std::optional<bool> on = ParseSwitch(text);
        if (on.has_value()) *out = *on;
        return on.has_value();
      })
      .is_switch = true;
}

void Flags::Integer(absl::string_view name, int64_t low, int64_t high,
                    int64_t* out, absl::string_view help) {
  const auto text = [](int64_t n) { return absl::StrCat(n); };
  Add(name, "N", help, absl::StrCat(*out),
      absl::StrCat("a whole number ",
                   Range(low, high, std::numeric_limits<int64_t>::max(), text)),
      [=](const std::string& given) {
        return absl::SimpleAtoi(given, out) && *out >= low && *out <= high;
      });
}

void Flags::Integer(absl::string_view name, int64_t low, int64_t high, int* out,
                    absl::string_view help) {
  const auto text = [](int64_t n) { return absl::StrCat(n); };
  Add(name, "N", help, absl::StrCat(*out),
      absl::StrCat(
          "a whole number ",
          Range(low, high, int64_t{std::numeric_limits<int>::max()}, text)),
      [=](const std::string& given) {
        return absl::SimpleAtoi(given, out) && *out >= low && *out <= high;
      });
}

void Flags::Fraction(absl::string_view name, double* out,
                     absl::string_view help) {
  Add(name, "N", help, absl::StrCat(*out), "a number from 0 to 1",
      [=](const std::string& given) {
        return absl::SimpleAtod(given, out) && *out >= 0 && *out <= 1;
      });
}

void Flags::Size(absl::string_view name, int64_t low, int64_t high,
                 int64_t* out, absl::string_view help) {
  Add(name, "SIZE", help, base::BytesText(*out),
      absl::StrCat(
          "a size ",
          Range(low, high, std::numeric_limits<int64_t>::max(),
                base::BytesText),
          ", such as 512M or 1.5GiB (K, M, G and T are powers of 1024)"),
      [=](const std::string& given) {
        const std::optional<int64_t> bytes = base::ParseBytes(given);
        if (bytes.has_value()) *out = *bytes;
        return bytes.has_value() && *out >= low && *out <= high;
      });
}

void Flags::Time(absl::string_view name, absl::Duration low,
                 absl::Duration high, absl::Duration* out,
                 absl::string_view help) {
  Add(name, "TIME", help, absl::FormatDuration(*out),
      absl::StrCat(
          "a time ",
          Range(low, high, absl::InfiniteDuration(), absl::FormatDuration),
          ", such as 25 (seconds), 500ms or 1m30s"),
      [=](const std::string& given) {
        const std::optional<absl::Duration> time = base::ParseTime(given);
        if (time.has_value()) *out = *time;
        return time.has_value() && *out >= low && *out <= high;
      });
}

void Flags::Choice(absl::string_view name,
                   const std::vector<std::string>& words, int otherwise,
                   std::function<void(int)> set, absl::string_view help) {
  Add(name, absl::StrJoin(words, "|"), help, words[otherwise],
      absl::StrCat("one of ", absl::StrJoin(words, ", ")),
      [words, set = std::move(set)](const std::string& given) {
        const auto found = std::find(words.begin(), words.end(), given);
        if (found != words.end()) set(static_cast<int>(found - words.begin()));
        return found != words.end();
      });
}

void Flags::Choice(absl::string_view name,
                   const std::vector<std::string>& words, std::string* out,
                   absl::string_view help) {
  const auto place = std::find(words.begin(), words.end(), *out);
  Choice(
      name, words, static_cast<int>(place - words.begin()),
      [words, out](int chosen) { *out = words[chosen]; }, help);
}

const Flags::Flag* Flags::Find(absl::string_view name) const {
  const auto found =
      std::find_if(flags_.begin(), flags_.end(),
                   [&](const Flag& flag) { return flag.page.name == name; });
  return found == flags_.end() ? nullptr : &*found;
}

std::vector<std::string> Flags::Names() const {
  std::vector<std::string> names;
  for (const Flag& flag : flags_) names.push_back(flag.page.name);
  return names;
}

absl::Status Flags::Split(const std::vector<std::string>& arguments,
                          std::vector<Given>* out) const {
  for (size_t i = 0; i < arguments.size(); ++i) {
    absl::string_view word = arguments[i];
    if (!absl::ConsumePrefix(&word, "-")) {
      return absl::InvalidArgumentError(absl::StrCat(
          "unexpected argument '", word, "': every argument is a --flag"));
    }
    absl::ConsumePrefix(&word, "-");
    Given given;
    const size_t equals = word.find('=');
    given.name = std::string(word.substr(0, equals));
    given.has_value = equals != word.npos;
    if (given.has_value) given.value = std::string(word.substr(equals + 1));
    const Flag* flag = Find(given.name);
    if (flag != nullptr && !flag->is_switch && !given.has_value &&
        i + 1 < arguments.size() && !absl::StartsWith(arguments[i + 1], "--")) {
      given.value = arguments[++i];
      given.has_value = true;
    }
    out->push_back(std::move(given));
  }
  return absl::OkStatus();
}

absl::Status Flags::Take(const Given& given, absl::string_view where) {
  for (Flag& flag : flags_) {
    const bool off =
        flag.is_switch && given.name == absl::StrCat("no", flag.page.name);
    if (given.name != flag.page.name && !off) continue;
    if (flag.on_command_line_only && !where.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          where, "--", given.name, " is for the command line only"));
    }
    if (off && given.has_value) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, "--", given.name, " takes no value"));
    }
    if (!flag.is_switch && !given.has_value) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, "--", given.name, " needs a value: --",
                       given.name, "=", flag.page.value));
    }
    flag.value = off ? "false" : given.has_value ? given.value : "true";
    flag.place = absl::StrCat(where, "--", flag.page.name);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(where, "unknown flag --", given.name,
                   base::DidYouMean(given.name, "--", Names())));
}

absl::Status Flags::ReadFile(const std::string& file) {
  std::ifstream lines(file);
  std::string line;
  int number = 0;
  for (; std::getline(lines, line); ++number) {
    absl::string_view text = absl::StripAsciiWhitespace(line);
    if (text.empty() || text[0] == '#' || absl::StartsWith(text, "//")) {
      continue;
    }
    const std::string where = absl::StrCat(file, ":", number + 1, ": ");
    absl::ConsumePrefix(&text, "--");
    // --name=value, name = value, --switch.
    const size_t equals = text.find('=');
    const absl::string_view name =
        absl::StripAsciiWhitespace(text.substr(0, equals));
    if (name.empty() || absl::StrContains(name, ' ')) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, "'", text,
                       "' is not a flag: a line is --name=value, or a "
                       "comment that begins with #"));
    }
    if (name == kFlagFile) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, "a flagfile cannot name another one"));
    }
    Given given{std::string(name), "", equals != text.npos};
    if (given.has_value) {
      given.value = std::string(
          Unquoted(absl::StripAsciiWhitespace(text.substr(equals + 1))));
    }
    if (absl::Status status = Take(given, where); !status.ok()) return status;
  }
  // Of a folder, which opens, the first line cannot be read.
  if (!lines.eof()) {
    return absl::NotFoundError(absl::StrCat(Find(kFlagFile)->place, "=", file,
                                            ": the file cannot be read"));
  }
  return absl::OkStatus();
}

absl::Status Flags::Parse(const std::vector<std::string>& arguments,
                          const Environment& environment) {
  // The least to say first: what comes later replaces it.
  for (Flag& flag : flags_) {
    const auto found = environment.find(VariableOf(flag.page.name));
    if (found == environment.end() || flag.on_command_line_only) continue;
    flag.value = found->second;
    flag.place = found->first;
  }
  std::vector<Given> given;
  absl::Status status = Split(arguments, &given);
  // The file first, wherever on the command line it is named.
  const auto take = [&](bool flagfile) {
    for (size_t i = 0; i < given.size() && status.ok(); ++i) {
      if ((given[i].name == kFlagFile) == flagfile) {
        status = Take(given[i], "");
      }
    }
  };
  take(true);
  const Flag* flagfile = Find(kFlagFile);
  if (status.ok() && flagfile != nullptr && !flagfile->value.empty()) {
    status = ReadFile(flagfile->value);
  }
  take(false);
  for (const Flag& flag : flags_) {
    if (!status.ok()) break;
    if (!flag.place.empty() && !flag.set(flag.value)) {
      status = NotAllowed(flag.page.name, flag.allowed);
    }
  }
  return status;
}

absl::Status Flags::Wrong(absl::string_view name,
                          absl::string_view what) const {
  const Flag& flag = *Find(name);
  const std::string given =
      flag.place.empty()
          ? absl::StrCat("--", name)
          : absl::StrCat(flag.place, "=", flag.is_secret ? "..." : flag.value);
  return absl::InvalidArgumentError(absl::StrCat(given, what));
}

absl::Status Flags::NotAllowed(absl::string_view name,
                               absl::string_view allowed) const {
  return Wrong(name, absl::StrCat(Find(name)->place.empty()
                                      ? " must be "
                                      : " is not allowed: it must be ",
                                  allowed));
}

std::vector<std::string> Flags::Suspects(const Environment& environment) const {
  const std::vector<std::string> names = Names();
  std::vector<std::string> suspects;
  for (const auto& [variable, value] : environment) {
    if (!absl::StartsWith(variable, kPrefix) || IsOfKubernetes(variable)) {
      continue;
    }
    // Without the prefix, which is alike in all of them.
    const std::string flag =
        absl::AsciiStrToLower(variable.substr(kPrefix.size()));
    const std::string nearest = base::Nearest(flag, names);
    if (nearest.empty() || nearest == flag) continue;
    suspects.push_back(absl::StrCat(variable,
                                    " in the environment sets no flag; did "
                                    "you mean ",
                                    VariableOf(nearest), "?"));
  }
  return suspects;
}

bool Flags::IsSet(absl::string_view name) const {
  const Flag* flag = Find(name);
  return flag != nullptr && !flag->place.empty();
}

std::vector<base::TopicPage> Flags::Pages() const {
  std::vector<base::TopicPage> pages;
  for (const std::string& title : topics_) pages.push_back({title, {}});
  for (const Flag& flag : flags_) {
    pages[flag.topic].flags.push_back(flag.page);
  }
  return pages;
}

}  // namespace zeroshot::server
