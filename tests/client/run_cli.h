// The program zeroshot_client, run in the test's process.
#ifndef ZEROSHOT_TESTS_CLIENT_RUN_CLI_H_
#define ZEROSHOT_TESTS_CLIENT_RUN_CLI_H_

#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/run.h"
#include "tests/client/fake_server.h"

namespace zeroshot::client {

// What a command printed, and its exit status.
struct CliResult {
  int exit_code;
  std::string out;
  std::string err;
};

// Runs a command against the server at `target`, with nothing on stdin but
// `in`.
inline CliResult RunCli(std::vector<std::string> args,
                        const std::string& target, const std::string& in = "",
                        Console console = {}) {
  std::istringstream input(in);
  std::ostringstream out;
  std::ostringstream err;
  console.in = &input;
  console.out = &out;
  console.err = &err;
  args.push_back(absl::StrCat("--target=", target));
  Fence();
  const int exit_code = Run(args, console);
  Fence();
  return {exit_code, out.str(), err.str()};
}

}  // namespace zeroshot::client

#endif  // ZEROSHOT_TESTS_CLIENT_RUN_CLI_H_
