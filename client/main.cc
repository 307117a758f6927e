// zeroshot_client: see client/cli/run.h.
#include <stdlib.h>

#include <clocale>
#include <string>
#include <vector>

#include "client/cli/run.h"

int main(int argc, char** argv) {
  // A failed call has its message; gRPC's own lines on stderr only repeat it.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  // For the columns that characters take; numbers stay as in "C".
  std::setlocale(LC_CTYPE, "C.UTF-8");
  return zeroshot::client::Run(std::vector<std::string>(argv + 1, argv + argc),
                               zeroshot::client::StandardConsole());
}
