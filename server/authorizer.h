// Decides from a call's metadata alone, before a byte of its request is read,
// whether its caller may make it.
//
// gRPC reads and parses a whole request before it calls a handler, and it
// serves reflection and methods that there are not by itself: a handler that
// looks at the token has already paid for what a stranger sent.
#ifndef ZEROSHOT_SERVER_AUTHORIZER_H_
#define ZEROSHOT_SERVER_AUTHORIZER_H_

#include <grpcpp/security/auth_metadata_processor.h>

#include "base/hand_over.h"
#include "server/metrics.h"
#include "server/tokens.h"

namespace zeroshot::server {

// Health needs no token, because those who probe have none. A method of
// server/methods.h needs a known token; whether that allows what
// is said there is decided by Calls::Answer, before the request is
// parsed, because gRPC 1.51 sends no details with a refusal from here.
// Everything else, such as reflection, needs the permission to classify.
//
// Thread rule: called by gRPC on many threads at once.
class Authorizer final : public grpc::AuthMetadataProcessor {
 public:
  // Borrows both. Refused calls are logged and counted.
  Authorizer(Tokens* tokens, Metrics* metrics)
      : tokens_(tokens), metrics_(metrics) {
    base::HandOver(this);
  }

  bool IsBlocking() const override { return false; }

  // Unauthenticated, PermissionDenied: see Tokens::Check.
  grpc::Status Process(const InputMetadata& metadata,
                       grpc::AuthContext* context, OutputMetadata* consumed,
                       OutputMetadata* response) override;

 private:
  Tokens* const tokens_;
  Metrics* const metrics_;
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_AUTHORIZER_H_
