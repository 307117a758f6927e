// zeroshot_client from its arguments to its exit code.
#ifndef ZEROSHOT_CLIENT_CLI_RUN_H_
#define ZEROSHOT_CLIENT_CLI_RUN_H_

#include <string>
#include <vector>

#include "client/cli/console.h"

namespace zeroshot::client {

// `args` are those after the program's name. Returns the exit code: 0 all went
// well, 1 a call failed, 2 the command line is wrong.
int Run(const std::vector<std::string>& args, const Console& console);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_RUN_H_
