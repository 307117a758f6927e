#include "client/cli/run.h"

#include <algorithm>
#include <ostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/program_pages.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/page.h"

namespace zeroshot::client {
namespace {

constexpr char kDefaultTarget[] = "127.0.0.1:50051";

constexpr char kIntroduction[] =
    R"(zeroshot_client asks a zeroshot server what images show.

Usage: zeroshot_client COMMAND [ARGUMENT...] [--FLAG=VALUE...]
       zeroshot_client help COMMAND
       zeroshot_client --version
)";

constexpr char kExamples[] = R"(
Examples:
  zeroshot_client classify --classes=frog,apple,car models/demo/images/*

  ID=$(zeroshot_client build --classes_file=animals.txt)
  zeroshot_client classify --weight_set=$ID --top_k=3 a.jpg b.png
  zeroshot_client classify --weight_set=$ID --json *.jpg | jq .predictions[0]
)";

constexpr char kTargets[] = R"(
--target takes what gRPC knows: HOST:PORT, dns:///HOST:PORT (all addresses of a
name), ipv4:A:PORT,B:PORT or ipv6:[A]:PORT (a list), unix:PATH. Of several
servers each gets calls in turn, and one that is away is left out.

Each of these flags can come from the environment: ZEROSHOT_TARGET,
ZEROSHOT_TLS_CA, ZEROSHOT_TOKEN_FILE, ... A flag wins over its variable.
)";

constexpr char kExitCodes[] = R"(
`zeroshot_client COMMAND --help` says more about a command,
`zeroshot_client --generate=man|markdown|bash|zsh|fish` prints the man page, or a
shell's completion.
Exit codes: 0 all went well, 1 a call failed, 2 the command line is wrong.
)";

std::vector<Command> Commands() {
  return {BuildCommand(),  ClassifyCommand(), ReclassifyCommand(),
          EmbedCommand(),  ModelCommand(),    SetsCommand(),
          ListCommand(),   ShowCommand(),     DeleteCommand(),
          ExportCommand(), ImportCommand(),   HealthCommand(),
          BenchCommand()};
}

std::vector<FlagDefinition> SharedFlags() {
  std::vector<FlagDefinition> flags = {
      {"target", "HOST:PORT", "the server (default: 127.0.0.1:50051)"},
      {"timeout", "TIME",
       "for each call: 30, 30s, 500ms, 2m (default: 60s, builds 1h)"},
      {"json", nullptr, "answers for programs: JSON, one object a line"},
      {"help", nullptr, "this text"},
  };
  for (const FlagDefinition& flag : ConnectionFlags()) flags.push_back(flag);
  return flags;
}

std::string FlagTable(const std::vector<FlagDefinition>& flags) {
  constexpr int kNameColumns = 26;
  std::string table;
  for (const FlagDefinition& flag : flags) {
    const std::string name =
        flag.value == nullptr ? absl::StrCat("--", flag.name)
                              : absl::StrCat("--", flag.name, "=", flag.value);
    absl::StrAppend(&table, "  ", PadRight(name, kNameColumns), " ", flag.help,
                    "\n");
  }
  return table;
}

std::string Help() {
  std::string text = absl::StrCat(kIntroduction, "\nCommands:\n");
  for (const Command& command : Commands()) {
    absl::StrAppend(
        &text, "  ",
        PadRight(absl::StrCat(command.name, " ", command.arguments), 18),
        command.summary, "\n");
  }
  absl::StrAppend(&text, kExamples, "\nFlags of every command:\n",
                  FlagTable(SharedFlags()), kTargets, kExitCodes);
  return text;
}

std::string Help(const Command& command) {
  std::string text =
      absl::StrCat("Usage: zeroshot_client ", command.name, " ",
                   command.arguments, command.arguments[0] == '\0' ? "" : " ",
                   "[--FLAG=VALUE...]\n", command.details);
  if (!command.flags.empty()) {
    absl::StrAppend(&text, "\nFlags:\n", FlagTable(command.flags));
  }
  absl::StrAppend(&text, "\nFlags of every command:\n",
                  FlagTable(SharedFlags()), kTargets);
  return text;
}

int Complain(const Console& console, absl::string_view what) {
  *console.err << "zeroshot_client: " << Printable(what)
               << "\nTry: zeroshot_client --help\n";
  return kUsage;
}

// The first argument that is neither a flag nor the value of one of the
// shared flags; `args.end()` if there is none.
std::vector<std::string>::const_iterator FindCommand(
    const std::vector<std::string>& args) {
  for (auto arg = args.begin(); arg != args.end(); ++arg) {
    if (!absl::StartsWith(*arg, "-")) return arg;
    for (const FlagDefinition& flag : SharedFlags()) {
      if (flag.value != nullptr && *arg == absl::StrCat("--", flag.name) &&
          arg + 1 != args.end()) {
        ++arg;
        break;
      }
    }
  }
  return args.end();
}

int RunCommand(const Command& command, const std::vector<std::string>& args,
               const Console& console) {
  std::vector<FlagDefinition> flags = command.flags;
  for (const FlagDefinition& flag : SharedFlags()) flags.push_back(flag);
  absl::StatusOr<Arguments> arguments = Arguments::Parse(args, flags);
  const Invocation no_call{Arguments(),  nullptr, console,
                           command.name, "",      false};
  if (!arguments.ok()) return UsageError(no_call, arguments.status());
  if (arguments->Has("help")) {
    *console.out << Help(command);
    return kOk;
  }
  flags = SharedFlags();
  const auto is_help = [](const auto& flag) {
    return flag.name == absl::string_view("help");
  };
  flags.erase(std::remove_if(flags.begin(), flags.end(), is_help), flags.end());
  const absl::Status environment = arguments->ReadEnvironment(flags);
  if (!environment.ok()) return UsageError(no_call, environment);
  ClientOptions options;
  options.max_attempts = command.max_attempts;
  const auto timeout = arguments->Time("timeout");
  if (!timeout.ok()) return UsageError(no_call, timeout.status());
  if (timeout->has_value()) options.timeout = options.build_timeout = **timeout;
  const absl::Status connection = ReadConnection(*arguments, &options);
  if (!connection.ok()) return UsageError(no_call, connection);
  const std::string target =
      arguments->Has("target") ? arguments->Text("target") : kDefaultTarget;
  const auto client = Client::Connect(target, options);
  if (!client.ok()) return UsageError(no_call, client.status());
  return command.run({*arguments, client->get(), console, command.name, target,
                      arguments->Has("json")});
}

}  // namespace

int Run(const std::vector<std::string>& args, const Console& console) {
  if (absl::string_view kind = args.empty() ? absl::string_view() : args[0];
      absl::ConsumePrefix(&kind, "--generate=")) {
    const auto page = base::GeneratePage(Page(Commands(), SharedFlags()), kind);
    if (!page.has_value()) {
      return Complain(console,
                      absl::StrCat("--generate=", kind, " is not one of ",
                                   base::kPageKinds));
    }
    *console.out << *page;
    return kOk;
  }
  const auto given = [&](absl::string_view arg) {
    return std::count(args.begin(), args.end(), arg) > 0;
  };
  const std::vector<Command> commands = Commands();
  auto name = FindCommand(args);
  bool help = false;
  if (name == args.end()) {
    if (given("--version")) {
      *console.out << "zeroshot_client " ZEROSHOT_VERSION "\n";
      return kOk;
    }
    if (!given("--help") && !given("-h")) {
      return Complain(console, "no command is given");
    }
    *console.out << Help();
    return kOk;
  }
  if (*name == "help") {
    help = true;
    name = std::find_if(name + 1, args.end(), [](const std::string& arg) {
      return !absl::StartsWith(arg, "-");
    });
    if (name == args.end()) {
      *console.out << Help();
      return kOk;
    }
  }
  std::vector<std::string> names;
  for (const Command& command : commands) {
    names.push_back(command.name);
    if (*name != command.name) continue;
    if (help) {
      *console.out << Help(command);
      return kOk;
    }
    std::vector<std::string> rest(args.begin(), name);
    rest.insert(rest.end(), name + 1, args.end());
    return RunCommand(command, rest, console);
  }
  return Complain(console, absl::StrCat("unknown command '", *name, "'",
                                        DidYouMean(*name, "", names)));
}

}  // namespace zeroshot::client
