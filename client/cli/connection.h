// The flags that say how to reach a server safely: TLS and tokens.
#ifndef ZEROSHOT_CLIENT_CLI_CONNECTION_H_
#define ZEROSHOT_CLIENT_CLI_CONNECTION_H_

#include <vector>

#include "absl/status/status.h"
#include "client/cli/arguments.h"
#include "client/client.h"

namespace zeroshot::client {

std::vector<FlagDefinition> ConnectionFlags();

// Sets credentials and token of `options`. InvalidArgument: half of a
// certificate and its key, or a file that cannot be read or is empty.
absl::Status ReadConnection(const Arguments& arguments, ClientOptions* options);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_CONNECTION_H_
