// A command of zeroshot_client, and what every command says alike.
//
// Thread rule: use from one thread.
#ifndef ZEROSHOT_CLIENT_CLI_COMMAND_H_
#define ZEROSHOT_CLIENT_CLI_COMMAND_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/classifier.h"
#include "client/cli/arguments.h"
#include "client/cli/console.h"
#include "client/client.h"

namespace zeroshot::client {

enum ExitCode { kOk = 0, kCallFailed = 1, kUsage = 2 };

// One run of a command. Borrows all.
struct Invocation {
  const Arguments& arguments;
  Client* client;
  const Console& console;
  std::string command;
  std::string target;
  bool json;
};

struct Command {
  const char* name;
  const char* arguments;  // after the name in the help: "FILE..."
  const char* summary;    // one line
  const char* details;    // examples and what is printed
  std::vector<FlagDefinition> flags;
  int (*run)(const Invocation&);
  int max_attempts = ClientOptions().max_attempts;  // of a call
};

Command BenchCommand();
Command BuildCommand();
Command ClassifyCommand();
Command ReclassifyCommand();
Command EmbedCommand();
Command ModelCommand();
Command SetsCommand();
Command ListCommand();
Command ShowCommand();
Command DeleteCommand();
Command ExportCommand();
Command ImportCommand();
Command HealthCommand();

// Says what is wrong with the command line. Returns kUsage.
int UsageError(const Invocation& run, const absl::Status& status);

// Says that a call failed: for programs {"error":{...}} on stdout, for people
// a line on stderr and what can be done. Returns kCallFailed.
int CallFailed(const Invocation& run, const absl::Status& status);

// {"code":"NOT_FOUND","message":"..."}
std::string JsonError(const absl::Status& status);

// "message (NOT_FOUND)", safe to show.
std::string HumanError(const absl::Status& status);

// "FILE: message (NOT_FOUND)", with a hint where the shell is behind it.
std::string FileError(const std::string& path, const absl::Status& status);

// The flags that say what to build; ReadSpec reads them, and the files they
// name. InvalidArgument: both or none of the classes' flags, more than one of
// the templates', an empty name, a file that cannot be read or is not as it
// should be.
std::vector<FlagDefinition> SpecFlags();
bool HasSpec(const Arguments& arguments);
// With `folder` its subfolders are the classes (client/cli/spec_file.h), in
// place of a flag for them.
absl::StatusOr<ClassifierSpec> ReadSpec(const Arguments& arguments,
                                        const std::string& folder = "");

// "softmax", "sigmoid"; "unspecified".
std::string NameOf(ScoreFunction function);

// Class names of --classes or --classes_file; none if neither is given.
absl::StatusOr<std::vector<std::string>> ReadClassNames(
    const Arguments& arguments);

// For people, on stderr.
void ShowWarnings(const Invocation& run, const BuildResult& built);
// The weight set's whole id. What is no beginning of one comes back as it is,
// without a call: the server will say what is wrong with it.
absl::StatusOr<std::string> CompleteId(const Invocation& run,
                                       const std::string& id);

// Builds with a progress bar where a terminal shows it; warnings go to
// stderr. `stream`: progress also where no terminal is.
absl::StatusOr<std::unique_ptr<Classifier>> BuildWithProgress(
    const Invocation& run, const ClassifierSpec& spec, bool stream);

// The bytes of a file, or of stdin for "-". Errors name no path: the caller
// shows it. InvalidArgument: a folder, a loop of links, or more than
// `max_bytes`. NotFound, PermissionDenied, Unknown: as the system says.
absl::StatusOr<std::string> ReadInput(
    const std::string& path, std::istream& in,
    int64_t max_bytes = ClientOptions().max_message_bytes);

// What to call each file in front of people: its name if all are in one
// folder, else its path.
std::vector<std::string> Labels(const std::vector<std::string>& paths);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_COMMAND_H_
