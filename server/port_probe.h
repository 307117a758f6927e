// Whether a port of ours is served: a connection is not just taken by the
// system but answered by the server.
// Thread rule: a free function without state.
#ifndef ZEROSHOT_SERVER_PORT_PROBE_H_
#define ZEROSHOT_SERVER_PORT_PROBE_H_

#include <string>

#include "absl/time/time.h"

namespace zeroshot::server {

// Connects to `listen` (HOST:PORT; the address that means all of them is this
// machine) as a gRPC client would, over TLS if `tls`, and waits for the
// first bytes. False: refused, or silent for `patience`. True also if this
// process lacks what it takes to ask, such as a file descriptor.
bool IsServed(const std::string& listen, bool tls, absl::Duration patience);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_PORT_PROBE_H_
