// The command line: COMMAND [ARGUMENT...] [--FLAG[=VALUE]...], in any order.
//
// Our own parser rather than absl's flags: the flags differ by command, some
// may be given several times, and a test can run a command in its process.
#ifndef ZEROSHOT_CLIENT_CLI_ARGUMENTS_H_
#define ZEROSHOT_CLIENT_CLI_ARGUMENTS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/did_you_mean.h"

namespace zeroshot::client {

struct FlagDefinition {
  const char* name;   // without the dashes
  const char* value;  // what stands after `=` in the help; null: a switch
  const char* help;
  bool repeated = false;
};

class Arguments {
 public:
  // `args` without the program's and the command's name. Accepts --flag=value,
  // --flag value and, to end the flags, --. InvalidArgument (a usage error):
  // an unknown flag, with the nearest known one; a missing or unwanted value;
  // a flag given twice that is not repeated.
  static absl::StatusOr<Arguments> Parse(
      absl::Span<const std::string> args,
      absl::Span<const FlagDefinition> definitions);

  // Takes those of the flags that were not given from the environment:
  // ZEROSHOT_TLS_CA for --tls_ca. An empty variable counts as none; one of a
  // switch is 1, true, 0 or false. InvalidArgument: another value of a switch.
  absl::Status ReadEnvironment(absl::Span<const FlagDefinition> definitions);

  const std::vector<std::string>& positional() const { return positional_; }
  bool Has(absl::string_view flag) const;

  // The flag's value; empty if it was not given.
  std::string Text(absl::string_view flag) const;
  std::vector<std::string> Texts(absl::string_view flag) const;

  // InvalidArgument, naming flag, value and what is allowed: not an integer of
  // that range; not a time such as 30, 30s, 500ms or 2m.
  absl::StatusOr<int> Integer(absl::string_view flag, int otherwise, int low,
                              int high) const;
  absl::StatusOr<std::optional<absl::Duration>> Time(
      absl::string_view flag) const;
  // None if the flag was not given. InvalidArgument: not a number from `low` to
  // `high`.
  absl::StatusOr<std::optional<float>> Number(absl::string_view flag, float low,
                                              float high) const;

 private:
  std::vector<std::string> positional_;
  std::map<std::string, std::vector<std::string>, std::less<>> flags_;
};

using base::DidYouMean;

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_ARGUMENTS_H_
