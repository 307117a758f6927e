// Whether a server of ours is served: connections are not just taken by the
// system but answered, and calls find a thread.
#ifndef ZEROSHOT_SERVER_PORT_PROBE_H_
#define ZEROSHOT_SERVER_PORT_PROBE_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "absl/time/time.h"

namespace zeroshot::server {

// Connects to `listen` (HOST:PORT) as a gRPC client would, over TLS if `tls`,
// and waits for the first bytes. A host that has several addresses is served
// if one of them answers; so is the host that means all addresses, over
// 127.0.0.1 and ::1, because a machine may be without one of the two.
// False: all were refused, or silent for `patience`. True also if this process
// lacks what it takes to ask, such as a file descriptor.
bool IsServed(const std::string& listen, bool tls, absl::Duration patience);

// Makes a call that one of the server's threads must answer, with whatever
// status. False: it had none to spare, or was silent for `patience`.
bool HasThreads(const std::shared_ptr<grpc::Channel>& channel,
                absl::Duration patience);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_PORT_PROBE_H_
