// grpc.reflection, by which programs such as grpcurl learn what is served.
// gRPC's own holds a thread for each stream, and there are only so many.
#ifndef ZEROSHOT_SERVER_REFLECTION_SERVICE_H_
#define ZEROSHOT_SERVER_REFLECTION_SERVICE_H_

#include <grpcpp/impl/service_type.h>

#include <string>

#include "absl/strings/string_view.h"

namespace zeroshot::server {

// Both v1 and v1alpha, whose messages are the same. Extensions, which proto3
// has none of, are not found.
//
// Thread rule: every method may be called from many threads at once.
class ReflectionService final : public grpc::Service {
 public:
  ReflectionService();

  // The ServerReflectionResponse to a ServerReflectionRequest, both encoded.
  static std::string Answer(absl::string_view request);
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_REFLECTION_SERVICE_H_
