// How a client shows its token: never in plain text over a network.
// Internal.
#ifndef ZEROSHOT_CLIENT_CREDENTIALS_H_
#define ZEROSHOT_CLIENT_CREDENTIALS_H_

#include <grpcpp/security/credentials.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/client.h"

namespace zeroshot::client {

// How a token goes to a server.
enum class TokenWay {
  kCallCredentials,  // gRPC's, which only cross a channel that encrypts
  kMetadata,         // plain text, where that is allowed
  kRefused,          // it would cross the network in plain text
};

// By a channel to `target` with the options' credentials.
TokenWay TokenWayTo(absl::string_view target, const ClientOptions& options);

// InvalidArgument: the token cannot be sent at all, or would travel to `target`
// in plain text and nobody allowed that.
absl::Status CheckToken(absl::string_view token, TokenWay way,
                        absl::string_view target);

// InvalidArgument: the credentials do not encrypt, so that no token can go with
// them.
absl::Status CheckEncrypts(
    const std::shared_ptr<grpc::ChannelCredentials>& credentials);

// Whether every address of a gRPC target is this machine's own: 127.0.0.1:1,
// localhost, [::1]:1, unix:..., ipv4:A,B, dns:///localhost:1. A name that only
// looks like an address (127.example.org) is not.
bool IsLoopbackTarget(absl::string_view target);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CREDENTIALS_H_
