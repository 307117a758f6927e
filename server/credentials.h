// TLS on the server's port, from files that may be replaced while it runs.
// Thread rule: a free function without state.
#ifndef ZEROSHOT_SERVER_CREDENTIALS_H_
#define ZEROSHOT_SERVER_CREDENTIALS_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "absl/status/statusor.h"
#include "server/options.h"

namespace zeroshot::server {

// Plain text without tls_cert. With it new connections get what the files hold
// a moment after they changed; those that stand go on. A certificate and its
// key should be replaced at once, as by renaming the folder that holds both:
// between the two, connections fail.
//
// InvalidArgument: a file cannot be read, holds something else, or the key is
// not the certificate's; the message names the flag.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const SecurityOptions& security);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_CREDENTIALS_H_
