// How a client shows its token: only where nobody on the way can read it.
// Internal.
#ifndef ZEROSHOT_CLIENT_CREDENTIALS_H_
#define ZEROSHOT_CLIENT_CREDENTIALS_H_

#include <grpcpp/security/credentials.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/client.h"

namespace zeroshot::client {

// The channel's credentials. With TLS the token is part of them, as gRPC's call
// credentials, which never cross a channel that is not encrypted. Without TLS
// it is not (SendsTokenItself). InvalidArgument: the token would cross the
// network in plain text and nobody allowed that, or cannot be sent at all.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(
    const std::string& target, const ClientOptions& options);

// Whether every call has to carry the token in its metadata: plain text.
inline bool SendsTokenItself(const ClientOptions& options) {
  return !options.token.empty() && options.credentials == nullptr;
}

// Whether every address of a gRPC target is this machine's own: 127.0.0.1:1,
// localhost, [::1]:1, unix:..., ipv4:A,B, dns:///localhost:1. A name that only
// looks like an address (127.example.org) is not.
bool IsLoopbackTarget(absl::string_view target);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CREDENTIALS_H_
