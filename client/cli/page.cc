#include "client/cli/page.h"

#include <string>

namespace zeroshot::client {
namespace {

std::vector<base::FlagPage> PagesOf(const std::vector<FlagDefinition>& flags) {
  std::vector<base::FlagPage> pages;
  for (const FlagDefinition& flag : flags) {
    std::string help = flag.help;
    if (!help.empty() && help[0] >= 'a' && help[0] <= 'z') help[0] -= 'a' - 'A';
    pages.push_back({flag.name, flag.value == nullptr ? "" : flag.value, help});
  }
  return pages;
}

}  // namespace

base::ProgramPage Page(const std::vector<Command>& commands,
                       const std::vector<FlagDefinition>& shared_flags) {
  base::ProgramPage page;
  page.name = "zeroshot_client";
  page.version = ZEROSHOT_VERSION;
  page.summary = "ask a zeroshot server what images show";
  page.usage = "COMMAND [ARGUMENT...] [--FLAG=VALUE...]";
  for (const Command& command : commands) {
    page.commands.push_back({command.name, command.arguments, command.summary,
                             command.details, PagesOf(command.flags)});
  }
  page.topics = {{"Flags of every command", PagesOf(shared_flags)}};
  page.sections = {
      {"Environment",
       "Each flag of every command is also read from the environment: --target "
       "is ZEROSHOT_TARGET. A flag wins over its variable."},
      {"Exit status",
       "0: all went well. 1: a call failed. 2: the command line is wrong."},
      {"See also", "zeroshot_server(1)"}};
  return page;
}

}  // namespace zeroshot::client
