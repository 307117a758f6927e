// The man page and the shells' completions of zeroshot_client.
#ifndef ZEROSHOT_CLIENT_CLI_PAGE_H_
#define ZEROSHOT_CLIENT_CLI_PAGE_H_

#include <vector>

#include "base/program_pages.h"
#include "client/cli/command.h"

namespace zeroshot::client {

// What base::GeneratePage needs of the commands and the flags they share.
base::ProgramPage Page(const std::vector<Command>& commands,
                       const std::vector<FlagDefinition>& shared_flags);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_PAGE_H_
