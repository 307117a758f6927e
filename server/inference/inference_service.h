// The Open Inference Protocol (proto/inference): its calls become those of
// zeroshot.v1.ZeroShot, with the same admission, limits and budgets.
#ifndef ZEROSHOT_SERVER_INFERENCE_INFERENCE_SERVICE_H_
#define ZEROSHOT_SERVER_INFERENCE_INFERENCE_SERVICE_H_

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/caller.h"
#include "inference/inference.pb.h"
#include "server/calls.h"
#include "server/engine.h"
#include "server/inference/models.h"
#include "server/methods.h"
#include "server/options.h"
#include "server/service.h"

namespace zeroshot::server {

// Thread rule: every method may be called from many threads at once.
class InferenceService final : public grpc::Service {
 public:
  // (Within a grpc::Service, Service is that.) Borrows service and calls.
  // `live`, `ready`: what /livez and /readyz say.
  InferenceService(const ServerOptions& options, server::Service* service,
                   Calls* calls, std::function<absl::Status()> live,
                   std::function<absl::Status()> ready);

 private:
  // The handlers: each answers one call that Calls has let in.
  absl::Status ServerMetadata(const Call& call,
                              inference::ServerMetadataRequest* request,
                              inference::ServerMetadataResponse* response);
  absl::Status ModelMetadata(const Call& call,
                             inference::ModelMetadataRequest* request,
                             inference::ModelMetadataResponse* response);
  absl::Status ModelConfig(const Call& call,
                           inference::ModelConfigRequest* request,
                           inference::ModelConfigResponse* response);
  absl::Status ModelInfer(const Call& call,
                          inference::ModelInferRequest* request,
                          inference::ModelInferResponse* response);
  absl::Status RepositoryIndex(const Call& call,
                               inference::RepositoryIndexRequest* request,
                               inference::RepositoryIndexResponse* response);
  // While the server is not ready too.
  absl::Status ModelReady(const grpc::ByteBuffer* bytes,
                          const base::Caller& caller,
                          inference::ModelReadyResponse* response);

  // The model, whose weight set is there; within a place for such calls.
  template <typename Request>
  absl::StatusOr<InferenceModel> Describe(Engine& engine,
                                          const base::Caller& caller,
                                          const Request& request);

  absl::Status Embed(const Call& call, const InferenceModel& model,
                     std::vector<std::string> elements,
                     inference::ModelInferResponse* response);
  absl::Status Classify(const Call& call, const InferenceModel& model,
                        const std::vector<int>& wanted,
                        const inference::ModelInferRequest& request,
                        std::vector<std::string> images,
                        inference::ModelInferResponse* response);

  // Tells gRPC of the handlers, as Service::AddMethods does.
  void AddMethods();
  template <typename Request, typename Response>
  void AddUnary(absl::string_view name,
                absl::Status (InferenceService::*handler)(const Call&, Request*,
                                                          Response*));
  template <typename Response>
  void AddHealth(absl::string_view name,
                 std::function<absl::Status(grpc::ServerContext*,
                                            const grpc::ByteBuffer*, Response*)>
                     handler);
  // A method of the protocol that is refused, with what to do instead.
  void AddNotOffered(const Method& method, absl::string_view instead);

  const ServerOptions options_;
  server::Service* const service_;
  Calls* const calls_;
  const std::function<absl::Status()> live_, ready_;
  InferenceModels models_;
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_INFERENCE_INFERENCE_SERVICE_H_
